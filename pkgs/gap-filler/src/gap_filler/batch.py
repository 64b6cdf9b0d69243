"""Records of the topic of values, as the reader gives them to the feed of their server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from aiokafka import ConsumerRecord
from fieldline.messages.quality import quality_code

from gap_filler.feed import Feed


class _Tags(msgspec.Struct, gc=False):
    asset: str = ""
    id: str = ""


class _Fields(msgspec.Struct, gc=False):
    quality: str = msgspec.field(default="", name="Quality")


class Value(msgspec.Struct, gc=False):
    """What is looked at of a record."""

    name: str
    timestamp: int
    tags: _Tags
    fields: _Fields


_decode = msgspec.json.Decoder(Value).decode
_UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError, OverflowError)


def read_value(raw: bytes | None) -> Value | None:
    """A record's value; None if it is none of ours."""
    try:
        return _decode(raw or b"")
    except _UNREADABLE:
        return None


class Batch:
    """Records of one feed, column by column, as `Feed.take` wants them."""

    __slots__ = ("again", "appended", "good", "indices", "own", "times")

    def __init__(self) -> None:
        self.indices: list[int] = []
        self.times: list[int] = []
        self.good: list[bool] = []
        self.appended: list[int] = []
        self.own: list[bool] = []
        self.again: list[bool] = []

    def add(
        self,
        index: int,
        value: Value,
        record: ConsumerRecord[Any, Any],
        own: Sequence[tuple[int, int]],
        again: bool,
    ) -> None:
        """Take a record of the variable `index`; own: where our own ones lie, as ranges."""
        self.indices.append(index)
        self.times.append(value.timestamp)
        self.good.append(quality_code(value.fields.quality) == 0)
        self.appended.append(record.timestamp * 1_000_000)
        # Mostly there are none, and this is done for each record that comes.
        self.own.append(bool(own) and any(first <= record.offset < end for first, end in own))
        self.again.append(again)

    def give(self, feed: Feed) -> None:
        """Give all to their feed."""
        feed.take(self.indices, self.times, self.good, self.appended, self.own, self.again)
