"""Work that takes long, in a thread beside the event loop."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class Worker:
    """One thread that does one work after the other.

    It is a daemon, unlike asyncio's own: a disk that hangs must not keep the service from stopping.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._works: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def post(self, work: Callable[[], None]) -> None:
        """Have the thread do `work`, which does not raise; nobody waits for it."""
        self._works.put(work)

    async def do(self, work: Callable[[], _Result]) -> _Result:
        """Have the thread do `work`; gives what it returns, or raises what it raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_Result] = loop.create_future()

        def settle(result: Any, error: Exception | None) -> None:
            if future.done():
                return  # Who asked has gone.
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

        def run() -> None:
            if future.cancelled():
                return
            result, failure = None, None
            try:
                result = work()
            except Exception as error:
                failure = error
            try:
                loop.call_soon_threadsafe(settle, result, failure)
            except RuntimeError:
                pass  # The loop has ended meanwhile, and the service with it.

        self._works.put(run)
        return await future

    def end(self) -> None:
        """End the thread after the work that was asked for; it is not waited for."""
        self._works.put(None)

    def _run(self) -> None:
        while (work := self._works.get()) is not None:
            work()
