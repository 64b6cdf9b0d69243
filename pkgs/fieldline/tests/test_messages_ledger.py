"""The records of the ledger, as Telegraf's parser and our readers take them."""

import json

import msgspec
import pytest
from fieldline.messages.ledger import (
    HOUR_NS,
    LedgerRecord,
    LedgerTags,
    Refill,
    decode_ledger,
    decode_refill,
    encode_ledger,
    encode_refill,
    hour_of,
)


def test_a_ledger_record_is_a_metric_in_json() -> None:
    record = LedgerRecord(LedgerTags("press1", "Force"), {"produced": 7, "missing": 0}, 3 * HOUR_NS)
    assert json.loads(encode_ledger(record)) == {
        "name": "ledger",
        "tags": {"asset": "press1", "variable": "Force"},
        "fields": {"produced": 7, "missing": 0},
        "timestamp": 3 * HOUR_NS,
    }
    assert decode_ledger(encode_ledger(record)) == record


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b'{"tags":{"asset":"a"},"fields":{},"timestamp":1}', b"[]"]
)
def test_what_is_no_ledger_record_is_refused(raw: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_ledger(raw)


def test_a_refill_names_the_variable_and_the_time() -> None:
    refill = Refill("press1", "Force", 5, 9)
    assert json.loads(encode_refill(refill)) == {
        "asset": "press1",
        "variable": "Force",
        "since": 5,
        "until": 9,
    }
    assert decode_refill(encode_refill(refill)) == refill
    with pytest.raises(msgspec.DecodeError):
        decode_refill(b'{"asset":"press1"}')


@pytest.mark.parametrize("time", [0, 1, HOUR_NS - 1])
def test_an_hour_begins_on_the_hour(time: int) -> None:
    assert hour_of(7 * HOUR_NS + time) == 7 * HOUR_NS
