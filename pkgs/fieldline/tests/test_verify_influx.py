"""InfluxDB's answers as arrays, the arguments of commands, qualities."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import typer
from fieldline.arguments import duration_ns, instant_ns, iso
from fieldline.errors import FieldlineError
from fieldline.influx.bulk import Run, flux_text, read_runs
from fieldline.influx.client import InfluxClient, refused
from fieldline.influx.layout import GOOD_QUALITY, UNKNOWN_STATUS, is_usable, status_of_quality
from fieldline.influx.series import literal, quoted, read_series

HEADER = ",result,table,_time,_value,_field,asset\r\n"
ROWS = [
    ",_result,0,2026-11-22T18:10:04.338184803Z,82.16181435011583,Pressure,a\r\n",
    ",_result,0,2026-11-22T18:10:05Z,-0.1,Pressure,a\r\n",
    ',_result,1,2026-11-22T18:10:06.5Z,1e-300,"Tem,p",a\r\n',
]
SECOND_SCHEMA = "\r\n" + HEADER + ",_result,2,2026-11-22T18:10:07Z,5,Other,b\r\n\r\n"


class Answer(InfluxClient):
    """A client that gives prepared pieces or lines."""

    def __init__(self, pieces: list[str]) -> None:
        super().__init__("http://127.0.0.1:1")
        self.prepared = pieces

    @contextmanager
    def pieces(self, *_args: Any) -> Iterator[Iterator[bytes]]:
        yield (piece.encode() for piece in self.prepared)

    @contextmanager
    def stream(self, *_args: Any, **_named: Any) -> Iterator[Iterator[bytes]]:
        yield (piece.encode() for piece in self.prepared)


def cut(text: str, at: int) -> list[str]:
    """Two pieces as the client gives them: each ends before a line's end."""
    first, _, rest = text[:at].rpartition("\r\n")
    if not first:
        return [text.removesuffix("\r\n")]
    return [first, (rest + text[at:]).removesuffix("\r\n")]


def rows(runs: list[Run]) -> list[tuple[tuple[str, ...], int, float]]:
    return [
        (run.labels, t, v)
        for run in runs
        for t, v in zip(run.time.tolist(), run.values.tolist(), strict=True)
    ]


EXPECTED = [
    (("Pressure", "a"), 1795371004338184803, 82.16181435011583),
    (("Pressure", "a"), 1795371005000000000, -0.1),
    (("Tem,p", "a"), 1795371006500000000, 1e-300),
    (("Other", "b"), 1795371007000000000, 5.0),
]
WHOLE = HEADER + "".join(ROWS) + SECOND_SCHEMA


@pytest.mark.parametrize("at", range(1, len(WHOLE), 7))
def test_flux_answers_are_read_exactly_wherever_they_are_cut(at: int) -> None:
    runs = list(read_runs(Answer(cut(WHOLE, at)), "o", "q", ("_field", "asset")))
    assert rows(runs) == EXPECTED


def test_an_empty_flux_answer_is_no_run() -> None:
    assert list(read_runs(Answer([""]), "o", "q", ("asset",))) == []


def test_an_aggregate_has_no_time() -> None:
    text = ",result,table,_value,asset\r\n,_result,0,100,a\r\n,_result,1,7,b"
    runs = list(read_runs(Answer([text]), "o", "q", ("asset",)))
    assert rows(runs) == [(("a",), 0, 100.0), (("b",), 0, 7.0)]


def test_texts_and_what_is_no_number() -> None:
    text = ",result,table,_time,_value,asset\r\n"
    text += f",_result,0,2026-11-22T18:10:04Z,{GOOD_QUALITY},a\r\n"
    text += ",_result,0,2026-11-22T18:10:05Z,true,a"
    runs = list(read_runs(Answer([text]), "o", "q", ("asset",), texts=True))
    assert list(runs[0].texts) == [GOOD_QUALITY, "true"]
    numbers = next(read_runs(Answer([text]), "o", "q", ("asset",))).values
    assert np.isnan(numbers[0])
    assert numbers[1] == 1.0


def test_a_query_that_breaks_off_is_an_error() -> None:
    broken = "error,reference\r\nout of memory,897"
    with pytest.raises(FieldlineError, match="out of memory"):
        list(read_runs(Answer([HEADER + ROWS[0] + "\r\n" + broken]), "o", "q", ("asset",)))


def test_a_point_without_a_tag_is_an_error_that_names_it() -> None:
    with pytest.raises(FieldlineError, match="no column id"):
        list(read_runs(Answer([HEADER + ROWS[0]]), "o", "q", ("asset", "id")))


def test_influxql_answers_are_read_exactly() -> None:
    line = (
        '{"results":[{"statement_id":1,"series":[{"name":"m","tags":{"asset":"a"},'
        '"columns":["time","last"],"values":[[1795371004338184803,82.16181435011583],'
        "[1795371004338184804,5],[1795371004338184805,null]]}]}]}"
    )
    found = list(read_series(Answer([line]), "dev", ["SELECT 1"]))
    assert found[0].statement == 1
    assert found[0].tags == {"asset": "a"}
    assert found[0].time.tolist() == [1795371004338184803 + i for i in range(3)]
    assert found[0].values[:2].tolist() == [82.16181435011583, 5.0]
    assert np.isnan(found[0].values[2])


@pytest.mark.parametrize(
    "line", ['{"results":[{"error":"no such thing"}]}', '{"error":"no such thing"}', "not JSON"]
)
def test_an_influxql_error_is_an_error(line: str) -> None:
    with pytest.raises(FieldlineError):
        list(read_series(Answer([line]), "dev", ["SELECT 1"]))


def test_names_and_texts_are_quoted() -> None:
    assert quoted('a"b\\') == '"a\\"b\\\\"'
    assert literal("it's") == "'it\\'s'"
    assert flux_text('say "${x}"') == '"say \\"\\${x}\\""'


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (GOOD_QUALITY, 0),
        ("The sensor failed. StatusBadSensorFailure (0x808C0000)", 0x808C0000),
        ("0x480", 0x480),
        ("no code", UNKNOWN_STATUS),
        ("", UNKNOWN_STATUS),
        (None, UNKNOWN_STATUS),
    ],
)
def test_the_status_is_in_the_quality(text: str | None, status: int) -> None:
    assert status_of_quality(text) == status


def test_good_and_uncertain_are_usable() -> None:
    status = np.array([0, 0x480, 0x40000000, 0x7FFFFFFF, 0x80000000, 0xC0000000], np.uint32)
    assert is_usable(status).tolist() == [True, True, True, True, False, False]


def test_durations_and_instants() -> None:
    assert duration_ns("200ms") == 200_000_000
    assert duration_ns("1.5s") == 1_500_000_000
    now = 1_800_000_000 * 10**9
    assert instant_ns("now", now) == now
    assert instant_ns("-30s", now) == now - 30 * 10**9
    assert instant_ns("1795371004338184803") == 1795371004338184803
    assert instant_ns("2026-11-22T18:10:04.338184803Z") == 1795371004338184803
    assert instant_ns("2026-11-22T19:10:04.3+01:00") == 1795371004300000000
    assert instant_ns("2026-11-22T18:10:04") == 1795371004000000000
    assert iso(1795371004338184803) == "2026-11-22T18:10:04.338184803Z"


@pytest.mark.parametrize("text", ["", "soon", "30", "-1", "1s30", "1e3s", "5 s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        duration_ns(text)


@pytest.mark.parametrize("text", ["", "yesterday", "-30", "2026-13-01", "30s"])
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        instant_ns(text)


def test_an_answer_of_influxdb_becomes_words() -> None:
    error = refused("read points", 401, b'{"code":"unauthorized","message":"unauthorized access"}')
    assert "token is not valid" in error.what_to_do
    assert error.cause == "HTTP 401: unauthorized access"
    assert "HTTP 500: <html>" in str(refused("read points", 500, b"<html>"))
