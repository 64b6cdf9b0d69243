"""The queue of requests."""

from __future__ import annotations

from fieldline.messages.ledger import Refill
from gap_filler.refill import Queue


def test_requests_of_one_stretch_are_one() -> None:
    queue = Queue()
    assert queue.put(Refill("a", "x", 10, 20), 1)
    assert not queue.put(Refill("a", "x", 15, 30), 2)
    assert not queue.put(Refill("a", "x", 5, 10), 3)
    wanted = queue.first()
    assert wanted is not None
    assert (wanted.since, wanted.until, wanted.offset) == (5, 30, 3)
    queue.done()
    assert queue.first() is None


def test_others_are_not_joined_and_keep_their_order() -> None:
    queue = Queue()
    for offset, request in enumerate(
        [Refill("a", "x", 10, 20), Refill("a", "x", 21, 30), Refill("a", "y", 21, 30)], 1
    ):
        assert queue.put(request, offset)
    # Not with one further ahead: its offset would be committed too early.
    assert queue.put(Refill("a", "x", 10, 20), 4)
    offsets = []
    while (wanted := queue.first()) is not None:
        offsets.append(wanted.offset)
        queue.done()
    assert offsets == [1, 2, 3, 4]
