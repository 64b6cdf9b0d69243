"""Start and stop of an asyncio service: signals, exit codes, errors in two layers."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable

from fieldline.errors import EXIT_CONFIGURATION, EXIT_OK, FieldlineError, ServiceError


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

    try:
        asyncio.run(supervise())
    except ServiceError as error:
        print(error, file=sys.stderr)
        sys.exit(error.code)
    except FieldlineError as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_CONFIGURATION)
    sys.exit(EXIT_OK)
