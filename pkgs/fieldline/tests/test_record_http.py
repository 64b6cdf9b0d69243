"""The record over HTTP: routes that give nothing else, a client that notices what is missing."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fieldline.errors import FieldlineError
from fieldline.record import (
    RecordVariable,
    RecordWriter,
    fetch_newest,
    fetch_record,
    record_routes,
)
from fieldline.record import client as client_module
from fieldline.record.format import SEGMENT_SPAN_NS, encode_header
from fieldline.record.reader import list_segments
from fieldline.service import HttpServer

VARIABLES = [RecordVariable("a", "x", "ns=2;i=1")]
START = 1_700_000_000_000_000_000


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """A record of five hours, one entry each."""
    writer = RecordWriter(tmp_path, VARIABLES, 86_400_000)
    for hour in range(5):
        time_ns = START + hour * SEGMENT_SPAN_NS
        writer.append(time_ns, np.array([0]), np.array([0]), np.array([float(hour)]))
    writer.close()
    return tmp_path


@pytest.fixture
def base(record: Path) -> Iterator[str]:
    """The record served on the loopback."""
    server = HttpServer("127.0.0.1", 0, routes=record_routes(record))
    server.start()
    yield f"http://127.0.0.1:{server.port}"
    server.stop()


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:
        body: bytes = answer.read()
    return body


def test_the_whole_record_is_fetched(base: str) -> None:
    table = fetch_record(base + "/", 0, 2**62)
    assert table.variables == tuple(VARIABLES)
    assert table.value.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_only_the_segments_needed_are_read(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = client_module._get
    monkeypatch.setattr(
        client_module, "_get", lambda url, timeout: asked.append(url) or real(url, timeout)
    )
    begin = START + 3 * SEGMENT_SPAN_NS
    table = fetch_record(base, begin, begin + 1)
    assert table.value.tolist() == [3.0]
    assert [url.rpartition("/")[2] for url in asked] == ["record", f"{begin:020d}.rec"]


def test_a_segment_is_given_from_an_offset(base: str, record: Path) -> None:
    path = list_segments(record)[0]
    assert get(f"{base}/record/{path.name}?offset=10") == path.read_bytes()[10:]
    assert get(f"{base}/record/{path.name}?offset=999999") == b""


def test_a_large_segment_comes_in_pieces(record: Path) -> None:
    data = bytes(600_000)
    (record / f"{7:020d}.rec").write_bytes(data)
    _status, _kind, pieces = record_routes(record)["/record"](f"/{7:020d}.rec", "")
    sizes = [len(piece) for piece in pieces]
    assert (sum(sizes), len(sizes)) == (len(data), 3)


@pytest.mark.parametrize(
    ("rest", "query", "status"),
    [
        ("/../secret", "", 400),
        ("/%2e%2e%2fsecret", "", 400),
        ("//etc/passwd", "", 400),
        ("/00000000000000000001.rec/..", "", 400),
        ("/00000000000000000001.rec\n", "", 400),
        ("/00000000000000000001.rec", "", 404),
        ("/00000000000000000001.rec", "offset=-1", 400),
        ("/00000000000000000001.rec", "offset=1e3", 400),
        ("/00000000000000000002.rec", "", 404),
    ],
)
def test_nothing_else_is_given(record: Path, rest: str, query: str, status: int) -> None:
    (record / "secret").write_text("secret")
    (record / "00000000000000000002.rec").symlink_to(record / "secret")
    assert record_routes(record)["/record"](rest, query)[0] == status


def test_a_record_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    status, _kind, pieces = record_routes(tmp_path / "absent")["/record"]("", "")
    assert (status, b"".join(pieces)) == (200, b"[]")


def test_a_segment_whose_time_is_over_meanwhile_is_passed_over(
    base: str, record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = client_module._get
    gone = list_segments(record)[0]

    def late(url: str, timeout_s: float) -> bytes:
        if url.endswith(gone.name):
            gone.unlink()
        return real(url, timeout_s)

    monkeypatch.setattr(client_module, "_get", late)
    assert fetch_record(base, 0, 2**62).value.tolist() == [1.0, 2.0, 3.0, 4.0]


def test_a_transfer_that_stops_in_the_middle_is_an_error(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = client_module._get

    def short(url: str, timeout_s: float) -> bytes:
        body = real(url, timeout_s)
        return body[:-1] if url.endswith(".rec") else body

    monkeypatch.setattr(client_module, "_get", short)
    with pytest.raises(FieldlineError, match="bytes came of"):
        fetch_record(base, 0, 2**62)


@pytest.mark.parametrize(
    "answer", [b"no json", b'{"a": 1}', b'[{"name": "../x", "size": 1}]', b"[1]", b'[{"name": 1}]']
)
def test_a_wrong_list_is_an_error(answer: bytes) -> None:
    server = HttpServer(
        "127.0.0.1", 0, routes={"/record": lambda _rest, _query: (200, "text/plain", [answer])}
    )
    server.start()
    with pytest.raises(FieldlineError, match="cannot be read"):
        fetch_record(f"http://127.0.0.1:{server.port}", 0, 2**62)
    server.stop()


def test_a_server_that_is_not_there_is_an_error() -> None:
    with pytest.raises(FieldlineError, match="metrics port") as caught:
        fetch_record("http://127.0.0.1:1", 0, 1)
    assert isinstance(caught.value.__cause__, urllib.error.URLError)


def test_the_newest_entries_come_from_as_many_segments_as_it_takes(base: str) -> None:
    assert fetch_newest(base, 1).table.value.tolist() == [4.0]
    table, variables = fetch_newest(base + "/", 3)
    assert table.variables == variables == tuple(VARIABLES)
    assert table.value.tolist() == [2.0, 3.0, 4.0]
    assert fetch_newest(base, 100).table.value.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_of_a_long_segment_only_the_end_is_read(tmp_path: Path) -> None:
    many = [RecordVariable("a", f"x{i}", f"ns=2;i={i}") for i in range(5000)]
    writer = RecordWriter(tmp_path, many, 86_400_000)
    for second in range(3):
        everything = np.arange(5000)
        writer.append(START + second, everything, np.zeros(5000), everything + second)
    writer.close()
    server = HttpServer("127.0.0.1", 0, routes=record_routes(tmp_path))
    server.start()
    try:
        table, _ = fetch_newest(f"http://127.0.0.1:{server.port}", 7)
    finally:
        server.stop()
    assert len(table.variables) == 5000
    assert table.value.tolist() == [float(i + 2) for i in range(4993, 5000)]


def test_a_segment_that_has_just_begun_is_passed_over(base: str, record: Path) -> None:
    (record / f"{2**62:020d}.rec").write_bytes(b"FLREC1\n[{")
    (record / f"{2**62 + 1:020d}.rec").write_bytes(b"")
    table, variables = fetch_newest(base, 1)
    assert (table.value.tolist(), variables) == ([4.0], tuple(VARIABLES))


def test_the_variables_are_those_that_the_server_has_now(base: str, record: Path) -> None:
    other = RecordVariable("b", "y", "ns=2;i=2")
    (record / f"{2**62:020d}.rec").write_bytes(encode_header([other]))
    table, variables = fetch_newest(base, 1)
    assert variables == (other,)
    assert table.variables == tuple(VARIABLES)


def test_a_server_without_a_record_is_refused() -> None:
    routes = {"/record": lambda _rest, _query: (200, "application/json", [b'[{"name": 5}]'])}
    server = HttpServer("127.0.0.1", 0, routes=routes)
    server.start()
    url = f"http://127.0.0.1:{server.port}"
    try:
        with pytest.raises(FieldlineError, match="cannot be read"):
            fetch_newest(url, 1)
    finally:
        server.stop()
    with pytest.raises(FieldlineError, match="cannot be read"):
        fetch_newest(url, 1, timeout_s=1.0)
