"""Mechanisms are named by what was seen, and by nothing else."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fieldline.remote.offsets import KafkaReading, TopicEnd
from fieldline.verify.points import points
from fieldline_faults.evidence import (
    FILLED,
    LEAPS,
    Evidence,
    _connections_of,
    _lags,
    _Rise,
    mechanisms,
    once,
)

RATE = 1500.0


def healed_by(**seen: Any) -> list[str]:
    return mechanisms(Evidence(RATE, **seen))


def test_where_nothing_was_seen_nothing_is_named() -> None:
    assert healed_by() == []
    # In flight at any time.
    assert healed_by(late=1000, buffer=3000, lag={"telegraf-opc": 4000}) == []


@pytest.mark.parametrize(
    ("seen", "named"),
    [
        ({"late": 40_000}, ["opc-server's queue (40,000 values)"]),
        ({"late": 40_000, "buffer": 39_000}, ["Telegraf's buffer (39,000 values)"]),
        (
            {"late": 80_000, "buffer": 39_000},
            ["opc-server's queue (41,000 values)", "Telegraf's buffer (39,000 values)"],
        ),
        # What came with a new session was not in the old one's queue.
        ({"late": 40_000, "session_kept": False}, ["Telegraf's reconnection"]),
        # A Telegraf that was started anew did not reconnect.
        ({"session_kept": False, "replaced": ["telegraf@collector"]}, []),
        (
            {"late": 40_000, "counters": {FILLED: 39_000.0}},
            ["gap filler (39,000 values)"],
        ),
        ({"lag": {"stream-model": 9000}}, ["Kafka's log (stream-model 9,000 behind)"]),
        ({"restarted": {"influxdb2": 1}}, ["systemd restarted influxdb2"]),
        ({"restarted": {"stream-model": 5}}, ["systemd restarted stream-model (5×)"]),
        ({"booted": ["db"]}, ["db booted"]),
        # Somebody else has started it.
        ({"replaced": ["influxdb2"]}, []),
        (
            {"counters": {"stream_model_late_total": 12.0}},
            ["model: 12 late inputs taken in"],
        ),
        ({"counters": {"stream_model_results_total": 12.0}}, []),
        (
            {"counters": {LEAPS: 1.0}},
            ["opc-server: source times of its own (steps of the clock seen: 1)"],
        ),
        ({"journal": {"model: state from the changelog": 4}}, ["model: state from the changelog"]),
        ({"journal": {"model: state from the changelog": 0}}, []),
    ],
)
def test_each_mechanism_is_named_by_its_evidence(seen: dict[str, Any], named: list[str]) -> None:
    assert healed_by(**seen) == named


def test_a_counter_rises_over_restarts_of_its_process() -> None:
    rise = _Rise()
    for value in (100.0, 130.0, 5.0, 7.0):
        rise.see(value)
    assert rise.total == 30 + 5 + 2
    # One that is there only once something happened.
    late = _Rise(0.0)
    late.see(1.0)
    assert late.total == 1


def test_a_group_is_behind_by_what_it_has_not_read() -> None:
    reading = KafkaReading(
        topics={"opc": TopicEnd({0: 100, 1: 50}, 0), "model": TopicEnd({0: 9}, 0)},
        committed={"telegraf-opc": {("opc", 0): 90, ("opc", 1): 60}, "stream-model": {}},
    )
    assert _lags(reading) == {"telegraf-opc": 10}


def test_of_each_value_the_first_record_counts() -> None:
    found = points(np.array([1, 0, 1, 1]), np.array([5, 5, 5, 6]), np.zeros(4), None)
    time, appended = once(found, np.array([30, 10, 20, 40]))
    assert time.tolist() == [5, 5, 6]
    assert appended.tolist() == [10, 20, 40]
    nothing = once(found.where(np.array([], np.int64)), np.empty(0, np.int64))
    assert [len(column) for column in nothing] == [0, 0]


def test_a_connection_is_found_with_the_process_that_has_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        program = Path("/proc/self/comm").read_text().strip()
        assert _connections_of(os.getpid(), program, {port}) == set()
        with socket.create_connection(("127.0.0.1", port)) as client:
            found = _connections_of(os.getpid(), program, {port})
            assert [int(end.rpartition(":")[2], 16) for end in found] == [client.getsockname()[1]]
            assert _connections_of(os.getpid(), "another", {port}) == set()
            assert _connections_of(os.getpid(), program, {port + 1}) == set()
    assert _connections_of(2**22 + 1, program, {port}) == set()
