"""Start and stop of an asyncio service: signals, exit codes, errors in two layers."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable

from fieldline.errors import EXIT_CONFIGURATION, EXIT_OK, FieldlineError, ServiceError

# A plant of thousands of variables is some 100,000 objects that stay and form no cycles. Looking
# them through as often as Python does by itself took the stream model a fifth of its time, the gap
# filler up to a quarter of a second at once, and found nothing.
_COLLECT = (100_000, 50, 1000)


def run(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run `main` until it returns; SIGTERM and SIGINT set the event it is given.

    Raises:
        SystemExit: always, with the exit code.
    """

    async def supervise() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, stop.set)
        await main(stop)

    gc.set_threshold(*_COLLECT)
    try:
        asyncio.run(supervise())
    except ServiceError as error:
        print(error, file=sys.stderr)
        sys.exit(error.code)
    except FieldlineError as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_CONFIGURATION)
    sys.exit(EXIT_OK)
