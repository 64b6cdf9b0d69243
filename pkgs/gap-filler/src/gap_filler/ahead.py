"""Fetching the next item while the last one is worked on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, TypeVar

T = TypeVar("T")


async def cancelled(task: asyncio.Future[Any]) -> None:
    """End a task, whatever it had to say."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def ahead(items: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """The items in their order, one of them fetched ahead; none is None."""

    async def fetch() -> T | None:
        return await anext(items, None)

    step = asyncio.create_task(fetch())
    try:
        while (item := await step) is not None:
            step = asyncio.create_task(fetch())
            yield item
    finally:
        await cancelled(step)
