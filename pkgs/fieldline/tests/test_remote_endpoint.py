"""How far an endpoint is reached, on real sockets, and what its clock says."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from email.utils import formatdate

import pytest
from fieldline.remote.endpoint import Endpoint, _clock_ahead, reach_of_port, reach_of_text
from fieldline.service import HttpServer
from prometheus_client import CollectorRegistry


@pytest.fixture
def server() -> Iterator[HttpServer]:
    routes = {"/state": lambda _rest, _query: (200, "application/json", [b"{}"])}
    made = HttpServer("127.0.0.1", 0, registry=CollectorRegistry(), routes=routes)
    made.start()
    yield made
    made.stop()


def test_an_answer_has_its_body_and_its_hosts_clock(server: HttpServer) -> None:
    url = f"http://127.0.0.1:{server.port}"
    answer = Endpoint(url).get("/state")
    assert (answer.reach, answer.body, answer.problem) == ("answers", b"{}", "")
    assert answer.clock_s is not None
    # A whole second is lost in the header; half of it is added again.
    assert abs(answer.clock_s) < 5
    behind = Endpoint(url, clock=lambda: time.time() - 3600).get("/state")
    assert behind.clock_s == pytest.approx(3600, abs=5)


def test_another_answer_than_expected_is_odd(server: HttpServer) -> None:
    answer = Endpoint(f"http://127.0.0.1:{server.port}").get("/nothing")
    assert answer.reach == "odd"
    assert "answers HTTP 404 at http://127.0.0.1" in answer.problem


def test_what_nobody_listens_to_is_refused_by_a_host_that_is_up(server: HttpServer) -> None:
    server.stop()
    answer = Endpoint(f"http://127.0.0.1:{server.port}").get("/state")
    assert (answer.reach, answer.problem) == ("refused", "unreachable: nothing listens there")
    assert reach_of_port("127.0.0.1", server.port) == ("refused", "nothing listens there")


def test_a_service_that_takes_a_connection_and_says_nothing_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fieldline.remote.endpoint._READ_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        answer = Endpoint(f"http://127.0.0.1:{port}").get("/state")
        assert answer.reach == "hangs"
        assert reach_of_port("127.0.0.1", port) == ("answers", "")


def test_a_host_that_gives_no_sign_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    # A listener whose queue is full drops what comes: as a host that is switched off.
    monkeypatch.setattr("fieldline.remote.endpoint.CONNECT_SECONDS", 0.1)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        with socket.create_connection(address):
            answer = Endpoint(f"http://127.0.0.1:{address[1]}").get("/state")
            assert (answer.reach, answer.problem) == ("silent", "unreachable: no answer in time")
            assert reach_of_port("127.0.0.1", address[1], 0.1) == ("silent", "no answer in time")


@pytest.mark.parametrize(
    ("text", "reach"),
    [
        ("[Errno 111] Connection refused", "refused"),
        ("[Errno 113] No route to host", "silent"),
        ("[Errno 101] Network is unreachable", "silent"),
        ("[Errno 112] Host is down", "silent"),
        ("timed out", "silent"),
        ("something else", "odd"),
    ],
)
def test_the_kernels_words(text: str, reach: str) -> None:
    assert reach_of_text(text)[0] == reach


def test_clocks_of_headers() -> None:
    assert _clock_ahead(formatdate(1000, usegmt=True), 900.5) == 100.0
    assert _clock_ahead("", 0.0) is None
    assert _clock_ahead("yesterday", 0.0) is None
