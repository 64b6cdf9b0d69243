"""Records of the topics: what cannot be read is counted, never passed over."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from aiokafka import ConsumerRecord
from fieldline.verify.catalogue import Catalogue, DeclaredModel, DeclaredVariable
from fieldline_faults.topics import Topics, _topic

TIME = 1_800_000_000_000_000_123
GOOD = "The operation succeeded. StatusGood (0x0)"
VARIABLE = DeclaredVariable("press1", "Force", "ns=2;s=press1.Force", "opc", True, 200)
MODEL = DeclaredModel("press1", "load", "mean-absolute", (0,))
TOPICS = Topics(
    "nowhere:1",
    {"opc": 1, "model": 1},
    Catalogue((VARIABLE,), (MODEL,), {("press1", "Force"): 0}, {("press1", "load"): 0}),
)


def record(value: bytes | None) -> ConsumerRecord[bytes, bytes]:
    return ConsumerRecord("opc", 0, 0, 1_800_000_000_500, 1, None, value, 0, 0, 0, ())


def opc(**changes: Any) -> bytes:
    fields = {"Force": 12.5, "Quality": GOOD}
    tags = {"asset": "press1", "id": "ns=2;s=press1.Force"}
    whole = {"name": "opc_server", "tags": tags, "fields": fields, "timestamp": TIME}
    return json.dumps(whole | changes).encode()


def model(**changes: Any) -> bytes:
    whole = {"name": "load", "value": 3.5, "timestamp": TIME, "asset": "press1", "revision": 2}
    return json.dumps(whole | changes).encode()


def test_a_value_is_read_with_its_quality_and_when_it_came() -> None:
    assert TOPICS._opc(record(opc()), 0) == (0, TIME, 12.5, 0, 1_800_000_000_500)


def test_a_result_is_read_with_its_revision() -> None:
    assert TOPICS._model(record(model()), 0) == (0, TIME, 3.5, 2, 1_800_000_000_500)


def test_a_recomputations_revision_is_kept_whole() -> None:
    row = TOPICS._model(record(model(revision=2**32 + 5)), 0)
    assert row is not None
    assert _topic([row]).points.status.tolist() == [2**32 + 5]


def test_what_is_older_is_left_out() -> None:
    assert TOPICS._opc(record(opc()), TIME + 1) is None
    assert TOPICS._model(record(model()), TIME + 1) is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"{",
        b"\xff",
        opc(timestamp="now"),
        opc(tags={"asset": "press9"}),
        opc(tags={}),
        opc(fields={"Torque": 1.0, "Quality": GOOD}),
        opc(fields={"Force": 1.0, "Stroke": 2.0, "Quality": GOOD}),
        opc(fields={"Quality": GOOD}),
    ],
)
def test_a_record_that_is_none_of_the_sites_is_counted(value: bytes | None) -> None:
    row = TOPICS._opc(record(value), 0)
    assert row is not None
    topic = _topic([row])
    assert topic.undeclared == 1
    assert len(topic.points) == len(topic.appended) == 0


@pytest.mark.parametrize("value", [None, b"", b"[]", model(asset="x"), model(name="x")])
def test_a_result_that_is_none_of_the_sites_is_counted(value: bytes | None) -> None:
    row = TOPICS._model(record(value), 0)
    assert row is not None
    assert _topic([row]).undeclared == 1


@dataclass
class Odd:
    quality: Any
    status: int


@pytest.mark.parametrize(
    "odd", [Odd("StatusBad (0x80000000)", 0x80000000), Odd(None, 0xFFFFFFFF), Odd(0, 0xFFFFFFFF)]
)
def test_a_quality_is_the_one_that_stands_there(odd: Odd) -> None:
    row = TOPICS._opc(record(opc(fields={"Force": 12.5, "Quality": odd.quality})), 0)
    assert row is not None
    assert row[3] == odd.status


@pytest.mark.parametrize("value", ["12.5", None])
def test_what_is_no_number_is_no_value(value: object) -> None:
    row = TOPICS._opc(record(opc(fields={"Force": value, "Quality": GOOD})), 0)
    assert row is not None
    assert np.isnan(row[2])


def test_no_records_are_an_empty_topic() -> None:
    assert len(_topic([]).points) == 0
