"""Fetching ahead keeps the order, raises what was raised, and leaves nothing running."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from gap_filler.ahead import ahead


async def items(fetched: list[int], fails_at: int = -1) -> AsyncIterator[int]:
    for number in range(4):
        if number == fails_at:
            raise ValueError("the source has failed")
        fetched.append(number)
        yield number


async def test_items_come_in_order_one_of_them_early() -> None:
    fetched: list[int] = []
    seen = []
    async for item in ahead(items(fetched)):
        await asyncio.sleep(0)
        seen.append(item)
        assert fetched == list(range(min(4, item + 2)))
    assert seen == [0, 1, 2, 3]


async def test_a_failure_comes_after_the_items_before_it() -> None:
    found = ahead(items([], fails_at=2))
    assert [await anext(found), await anext(found)] == [0, 1]
    with pytest.raises(ValueError, match="the source has failed"):
        await anext(found)


async def test_who_leaves_early_leaves_no_task() -> None:
    before = asyncio.all_tasks()
    async with contextlib.aclosing(ahead(items([]))) as found:
        assert await anext(found) == 0
        assert asyncio.all_tasks() > before
    assert asyncio.all_tasks() == before
