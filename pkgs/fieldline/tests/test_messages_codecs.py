"""The records on Kafka: reading Telegraf's, writing and reading ours."""

from __future__ import annotations

import json

import msgspec
import pytest
from fieldline.messages import (
    FORMAT,
    FORMAT_HEADER,
    FORMAT_HEADERS,
    DeadLetterOrigin,
    MessageError,
    ModelResult,
    OpcValue,
    Severity,
    dead_letter_headers,
    decode_opc,
    decode_result,
    encode_result,
    quality_code,
    read_origin,
    severity,
)
from hypothesis import given
from hypothesis import strategies as st

REAL = (
    b'{"fields":{"Quality":"The operation succeeded. StatusGood (0x0)","Temperature":20.1},'
    b'"name":"opc_server","tags":{"asset":"Sensors","id":"ns=2;i=2"},'
    b'"timestamp":1700000000123456700}\n'
)


def test_a_record_of_telegraf_is_read_to_the_nanosecond() -> None:
    expected = OpcValue("Sensors", "Temperature", 1_700_000_000_123_456_700, 20.1, 0)
    assert decode_opc(REAL) == expected


@pytest.mark.parametrize(
    ("fields", "variable", "value", "quality"),
    [
        ({"Quality": "x (0x0)", "A": 3}, "A", 3, 0),
        ({"Quality": "x (0x0)", "A": True}, "A", True, 0),
        ({"Quality": "x (0x0)", "A": "text"}, "A", "text", 0),
        ({"Quality": "x (0x0)", "A": None}, "A", None, 0),
        ({"Quality": "x (0x0)", "A": 1.5, "DataType": "Double"}, "A", 1.5, 0),
        ({"Quality": "BadNoCommunication (0x80310000)"}, "", None, 0x80310000),
        ({"A": 1.5}, "A", 1.5, None),
        ({"A": 1.5, "Quality": 0}, "A", 1.5, None),
        ({"A": 1.5, "Quality": "good"}, "A", 1.5, None),
    ],
)
def test_fields(fields: dict[str, object], variable: str, value: object, quality: int) -> None:
    record = {"name": "opc_server", "timestamp": 5, "tags": {"asset": "x"}, "fields": fields}
    assert decode_opc(json.dumps(record).encode()) == OpcValue("x", variable, 5, value, quality)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (None, "unparsable"),
        (b"", "unparsable"),
        (REAL[:50], "unparsable"),
        (REAL.replace(b"20.1", b"NaN"), "unparsable"),
        (REAL.replace(b"Sensors", b"\xff"), "unparsable"),
        (REAL + REAL, "unparsable"),
        (b'{"x":' + b"[" * 100_000, "unparsable"),
        (b"[1]", "wrong-shape"),
        (b"{}", "wrong-shape"),
        (REAL.replace(b'"asset"', b'"host"'), "wrong-shape"),
        (REAL.replace(b"20.1", b"[20.1]"), "wrong-shape"),
        (REAL.replace(b"20.1", b"1e999"), "wrong-shape"),
        (REAL.replace(b"20.1", b'20.1,"Pressure":1'), "wrong-shape"),
        (REAL.replace(b"700}", b"700.5}"), "wrong-shape"),
        (b'{"name":"cpu","fields":{"a":[1]}}', "unknown-measurement"),
        (REAL.replace(b"opc_server", b"cpu"), "unknown-measurement"),
    ],
)
def test_what_is_no_value_is_refused_with_its_reason(raw: bytes | None, reason: str) -> None:
    with pytest.raises(MessageError) as error:
        decode_opc(raw)
    assert error.value.reason == reason
    assert str(error.value)


@pytest.mark.parametrize(
    ("text", "code", "level"),
    [
        ("The operation succeeded. StatusGood (0x0)", 0, Severity.GOOD),
        ("0x480", 0x480, Severity.GOOD),
        ("StatusUncertainInitialValue (0x40920000)", 0x40920000, Severity.UNCERTAIN),
        ("A (0x1) in brackets. StatusBad (0x80000000)", 0x80000000, Severity.BAD),
        ("reserved (0xC0000000)", 0xC0000000, Severity.BAD),
        ("0XFFFFFFFF", 0xFFFFFFFF, Severity.BAD),
    ],
)
def test_quality(text: str, code: int, level: Severity) -> None:
    assert quality_code(text) == code
    assert severity(code) is level


@pytest.mark.parametrize("text", ["", "good", "0x", "(0x100000000)", "0x0 good", "x0x0", "(0xZ)"])
def test_a_text_without_a_code_has_none(text: str) -> None:
    assert quality_code(text) is None


def test_ever_new_quality_texts_do_not_fill_the_memory() -> None:
    from fieldline.messages import quality

    for number in range(5000):
        assert quality_code(f"text {number} (0x{number:X})") == number
    assert len(quality._known) <= quality._KNOWN_TEXTS


@given(
    st.builds(
        ModelResult,
        name=st.text(),
        value=st.floats(allow_nan=False, allow_infinity=False),
        timestamp=st.integers(0, 2**63 - 1),
        asset=st.text(),
        revision=st.integers(0, 10**6),
    )
)
def test_a_result_is_read_as_it_was_written(result: ModelResult) -> None:
    raw = encode_result(result)
    assert decode_result(raw) == result
    assert json.loads(raw) == {
        "name": result.name,
        "value": result.value,
        "timestamp": result.timestamp,
        "asset": result.asset,
        "revision": result.revision,
    }


def test_a_result_on_the_topic() -> None:
    result = ModelResult("model1", 12.3, 1_700_000_000_123_456_700, "Sensors", 0)
    assert encode_result(result) == (
        b'{"name":"model1","value":12.3,"timestamp":1700000000123456700,'
        b'"asset":"Sensors","revision":0}'
    )
    assert FORMAT_HEADERS == [("fieldline-format", b"1")]
    for wrong in (b"", b"{}", b"[]", b'{"name":1}'):
        with pytest.raises(msgspec.DecodeError):
            decode_result(wrong)


def test_a_dead_letter_says_where_it_comes_from() -> None:
    origin = DeadLetterOrigin("bad-quality", "opc", 3, 2**40)
    headers = dead_letter_headers(origin)
    assert (FORMAT_HEADER, FORMAT) in headers
    assert ("fieldline-reason", b"bad-quality") in headers
    assert ("fieldline-offset", str(2**40).encode()) in headers
    assert read_origin([("other", b"\xff"), *headers]) == origin
    with pytest.raises(ValueError, match="fieldline-topic"):
        read_origin([header for header in headers if header[0] != "fieldline-topic"])
