"""Reads records again for a `Rereading`, beside the live ones, and has its steps committed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing

from fieldline.stream.broker import Broker, MovedError
from fieldline.stream.processor import Range, Rereading, Stepped, W

Pieces = Iterator[Range | Stepped[W] | None]


async def reread(
    broker: Broker,
    number: int,
    work: Rereading[W],
    advance: Callable[[Pieces[W]], Awaitable[Range | None]],
) -> None:
    """Do a rereading of an input partition; it is given up where records are lost meanwhile.

    Args:
        advance: has the next piece done, and committed if it is a step; gives a range to be read.
            It raises `MovedError` if the partition must not be worked on any more.
    """
    pieces = work.run()
    try:
        while True:
            wanted = await advance(pieces)
            if wanted is None:
                # What did not have to wait for anything would else go on and on.
                await asyncio.sleep(0)
            elif not await _read(broker, number, work, wanted):
                return
    except (MovedError, StopAsyncIteration):
        return


async def _read(broker: Broker, number: int, work: Rereading[W], wanted: Range) -> bool:
    """Read a range; False if the log lost some of it meanwhile."""
    start = wanted.start
    if start is None:
        start = await broker.offset_at(number, wanted.since_ms)
    first, _ = await broker.ends(number)
    start = wanted.end if start is None else min(max(start, first), wanted.end)
    async with aclosing(broker.read(number, start, wanted.end)) as reading:
        async for records in reading:
            work.take(records)
            # Records that are there already are read without waiting; it is the live ones' turn.
            await asyncio.sleep(0)
    first, _ = await broker.ends(number)
    if start < min(first, wanted.end):
        return False
    work.taken(start, first)
    return True
