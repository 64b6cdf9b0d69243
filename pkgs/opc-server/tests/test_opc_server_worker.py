"""The thread beside the event loop: one work after the other, results and errors to who asked."""

from __future__ import annotations

import asyncio
import threading

import pytest
from opc_server.worker import Worker

pytestmark = pytest.mark.asyncio


def fail() -> None:
    raise ValueError("no")


async def test_works_are_done_in_order_with_their_results() -> None:
    worker = Worker("test works")
    names: list[str] = []

    def work(number: int) -> int:
        names.append(threading.current_thread().name)
        return number * 2

    found = await asyncio.gather(*(worker.do(lambda n=n: work(n)) for n in range(5)))  # type: ignore[misc]
    assert found == [0, 2, 4, 6, 8]
    assert names == ["test works"] * 5
    thread = next(one for one in threading.enumerate() if one.name == "test works")
    worker.end()
    await asyncio.to_thread(thread.join, 10)
    assert not thread.is_alive()


async def test_an_error_is_for_who_asked_and_the_thread_goes_on() -> None:
    worker = Worker("test")
    with pytest.raises(ValueError, match="no"):
        await worker.do(fail)
    assert await worker.do(lambda: 1) == 1
    worker.end()


async def test_work_that_nobody_waits_for_any_more_is_left_out() -> None:
    worker = Worker("test")
    begun, go, done = threading.Event(), threading.Event(), []

    def wait() -> None:
        begun.set()
        assert go.wait(10)

    first = asyncio.ensure_future(worker.do(wait))
    second = asyncio.ensure_future(worker.do(lambda: done.append(2)))
    await asyncio.to_thread(begun.wait, 10)
    second.cancel()
    await asyncio.sleep(0)
    go.set()
    await first
    assert await worker.do(lambda: 3) == 3
    assert done == []
    worker.end()
