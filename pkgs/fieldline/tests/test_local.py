"""Units, journal and messages of the host, from what systemd and the servers really print."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from fieldline.local import (
    Journal,
    Message,
    Plain,
    has_link,
    is_synchronised,
    plain,
    read_units,
    units_of,
)
from fieldline.local.host import this_host
from fieldline.local.messages import PATTERN, read_message
from fieldline.local.plain import is_noise
from fieldline.site import load_site
from hypothesis import given
from hypothesis import strategies as st

SITE = load_site(Path(__file__).parents[3] / "site.toml")

# As they were written by the real servers, when these were broken on purpose.
OPC_REFUSED = (
    "2026-11-24T23:51:26Z W! [inputs.opcua_listener::opc] Failed to connect to OPC UA server"
    " opc.tcp://192.168.0.5:4840. Will attempt to connect again at the next interval: endpoint"
    ' "opc.tcp://192.168.0.5:4840": failed to get endpoints: dial tcp 192.168.0.5:4840: connect:'
    " connection refused"
)
KAFKA_SLOW = (
    '2026-11-24T23:52:17Z W! [agent] ["outputs.kafka"] did not complete within its flush interval'
)
KAFKA_GONE = (
    "2026-11-25T00:06:14Z E! [agent] Error writing to outputs.kafka: kafka: Failed to produce"
    " message to topic opc: kafka: client has run out of available brokers to talk to: dial tcp"
    " 192.168.0.10:9092: connect: connection refused"
)
KAFKA_BACK = (
    "2026-11-24T23:52:19Z E! [agent] Error writing to outputs.kafka: kafka: Failed to produce"
    " message to topic opc: kafka server: Tried to send a message to a replica that is not the"
    " leader for some partition. Your metadata is out of date"
)
CONSUMER = (
    "2026-11-24T23:52:17Z E! [inputs.kafka_consumer::model] Error in plugin: channel: kafka: error"
    " while consuming model/2: EOF"
)
INFLUX_DOWN = (
    "2026-11-24T23:52:43Z E! [agent] Error writing to outputs.influxdb_v2: Post"
    ' "http://127.0.0.1:8086/api/v2/write?bucket=dev&org=devorg": dial tcp 127.0.0.1:8086: connect:'
    " connection refused"
)
INFLUX_EOF = (
    "2026-11-25T00:05:55Z E! [agent] Error writing to outputs.influxdb_v2: Post"
    ' "http://127.0.0.1:8086/api/v2/write?bucket=dev&org=devorg": EOF'
)
INFLUX_TOKEN = (
    "2026-11-25T00:05:49Z E! [outputs.influxdb_v2] failed to write metrics to dev"
    " (401 Unauthorized): unauthorized: unauthorized access"
)
INFLUX_FULL = (
    '2026-11-25T00:05:58Z E! [outputs.influxdb_v2] failed to write metrics to bucket "dev": 500'
    " Internal Server Error: internal error: unexpected error writing points to database: error"
    ' loading series file for database "66ce2b579b07def4": write /var/lib/influxdb2/engine/data/'
    "66ce2b579b07def4/_series/00/0000.initializing: no space left on device"
)
STORE_FULL = (
    'ts=2026-11-25T00:05:58.575959Z lvl=warn msg="Write failed creating shard" log_id=16l0DO~G000'
    ' service=storage-engine service=write shard=2 error="error loading series file for database'
    ' \\"66ce2b579b07def4\\": write /var/lib/influxdb2/engine/x: no space left on device"'
)
BROKER_FULL = (
    "ERROR LogManager Shutdown broker because all log dirs in /var/lib/apache-kafka/log have failed"
)
BROKER_APPEND = (
    "ERROR LogDirFailureChannel Error while appending records to opc-0 in dir"
    " /var/lib/apache-kafka/log"
)
OVERFLOW = (
    "2026-11-25T00:06:14Z W! [outputs.kafka] Metric buffer overflow; 3598 metrics have been dropped"
)
MODEL_WAITS = json.dumps(
    {
        "cause": "no answer for 10 s",
        "event": "Kafka at 192.168.0.10:9092 cannot be reached. Waiting for it; look at"
        " apache-kafka on its host and at the network between.",
        "level": "warning",
        "logger": "stream-model",
    }
)
CLIENT = json.dumps(
    {"event": "Unable connect to node with id 1: ", "level": "error", "logger": "aiokafka"}
)
STRICT = (
    "2026-11-25T00:05:24Z W! Strict environment variable handling will be the new default starting"
    " with v1.38.0! If your configuration works with strict handling or you don't use environment"
    " variables it is safe to ignore this warning."
)
UNFIT = "The changelog of partition 0 is not one of this version's, so it is not used."
UNFIT_CAUSE = "  cause: partition 0: the record at offset 196 has another format"


@pytest.mark.parametrize(
    ("line", "level", "words"),
    [
        (OPC_REFUSED, "warning", "nothing listens at opc.tcp://192.168.0.5:4840"),
        (
            OPC_REFUSED.replace("connection refused", "no route to host"),
            "warning",
            "opc.tcp://192.168.0.5:4840 does not answer",
        ),
        (
            OPC_REFUSED.partition("failed to get")[0] + "BadSecurityChecksFailed (0x80130000)",
            "warning",
            "the OPC UA server does not trust this client's certificate",
        ),
        (
            OPC_REFUSED.partition("failed to get")[0] + "StatusBadUserAccessDenied (0x801F0000)",
            "warning",
            "the OPC UA server refuses the user",
        ),
        (
            OPC_REFUSED.partition("failed to get")[0] + "something new",
            "warning",
            "the OPC UA server opc.tcp://192.168.0.5:4840 takes no connection",
        ),
        (KAFKA_SLOW, "warning", "Kafka does not take values in time"),
        (KAFKA_GONE, "error", "Kafka cannot be reached"),
        (KAFKA_BACK, "error", "Kafka has just been restarted; the values are sent again"),
        (CONSUMER, "error", "Kafka cannot be reached"),
        (INFLUX_DOWN, "error", "InfluxDB does not run"),
        (INFLUX_EOF, "error", "InfluxDB breaks off or answers too late"),
        (INFLUX_TOKEN, "error", "InfluxDB does not accept the writer's token"),
        (INFLUX_FULL, "error", "its disk is full"),
        (STORE_FULL, "warning", "its disk is full"),
        (BROKER_FULL, "error", "Kafka cannot write to its disk: full, or broken"),
        (BROKER_APPEND, "error", "Kafka cannot write opc-0 to its disk"),
        (OVERFLOW, "warning", "its buffer was full: 3598 values were dropped"),
        (CLIENT, "error", "Kafka cannot be reached"),
        (
            "telegraf.service: Failed with result 'oom-kill'.",
            "error",
            "it has run out of memory",
        ),
        (
            "opc-server.service: Watchdog timeout (limit 30s)!",
            "error",
            "it hung, and systemd restarted it",
        ),
    ],
)
def test_a_known_message_is_said_in_plain_words_with_what_to_do(
    line: str, level: str, words: str
) -> None:
    message = read_message(line)
    assert message.level == level
    found = plain(message.text)
    assert found.text == words
    assert found.what_to_do


def test_what_is_plain_already_or_not_known_stays() -> None:
    said = read_message(MODEL_WAITS)
    assert said.level == "warning"
    assert plain(said.text).text.startswith("Kafka at 192.168.0.10:9092 cannot be reached. Waiting")
    assert said.text.endswith("the network between. (no answer for 10 s)")
    assert plain("a new kind of fault") == Plain("a new kind of fault", "")
    assert len(plain("x" * 5000).text) == 300


@pytest.mark.parametrize(
    "line",
    [
        "2026-11-24T23:51:53Z I! [agent] Stopping running outputs",
        "INFO GroupMetadataManager [GroupCoordinator id=1] Member x in group y has failed",
        'ts=2026-11-24T23:53:44.039866Z lvl=info msg="Executing query" error="none"',
        '{"event": "stopped", "level": "info", "logger": "stream-model"}',
        "Started stream-model.service - Models computed from the stream of values.",
        '{"event": 5}',
        '{"not json',
        "",
    ],
)
def test_what_is_no_error_is_none(line: str) -> None:
    assert read_message(line).level == "info"


def test_notices_are_no_faults() -> None:
    assert is_noise(read_message(STRICT).text)
    assert not is_noise(read_message(KAFKA_GONE).text)


@given(st.text())
def test_any_line_can_be_read(line: str) -> None:
    assert "\n" not in plain(read_message(line).text).text


def test_every_grave_form_is_found_by_the_pattern() -> None:
    """The pattern is journald's (PCRE); what it says here, Python's engine reads alike."""
    import re

    for line in (OPC_REFUSED, KAFKA_GONE, STORE_FULL, BROKER_FULL, MODEL_WAITS, CLIENT):
        assert re.search(PATTERN, line), line
    for line in ("INFO x y", "2026-11-24T23:51:53Z I! [agent] y", 'lvl=info msg="x"', UNFIT):
        assert not re.search(PATTERN, line), line


SHOW = """\
MainPID=212
Result=success
NRestarts=2
ExecMainCode=0
ExecMainStatus=0
Id=telegraf.service
LoadState=loaded
ActiveState=active
SubState=running
StateChangeTimestamp=@1795564262

MainPID=0
Result=exit-code
NRestarts=0
ExecMainCode=1
ExecMainStatus=78
Id=stream-model.service
LoadState=loaded
ActiveState=failed
SubState=failed
StateChangeTimestamp=@1795565142

Id=gap-filler.service
LoadState=not-found
ActiveState=inactive
SubState=dead
StateChangeTimestamp=
"""


def show(**changed: str) -> str:
    first = dict(line.split("=", 1) for line in SHOW.partition("\n\n")[0].splitlines())
    return "".join(f"{key}={value}\n" for key, value in {**first, **changed}.items())


def test_states_of_units_that_are_there() -> None:
    asked: list[Sequence[str]] = []

    def run(argv: Sequence[str]) -> str:
        asked.append(argv)
        return SHOW

    states = read_units(["telegraf", "stream-model", "gap-filler"], run)
    assert asked[0][-3:] == ["telegraf.service", "stream-model.service", "gap-filler.service"]
    assert set(states) == {"telegraf", "stream-model"}
    telegraf, model = states["telegraf"], states["stream-model"]
    assert (telegraf.runs, telegraf.restarts, telegraf.words) == (True, 2, "runs")
    assert telegraf.since_ns == 1_795_564_262 * 10**9
    assert (model.runs, model.words) == (False, "has refused to run (exit code 78)")
    assert read_units([], run) == {}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"ActiveState": "failed", "Result": "oom-kill"}, "has failed (oom-kill)"),
        ({"ActiveState": "inactive", "SubState": "dead"}, "was stopped"),
        (
            {"ActiveState": "activating", "SubState": "auto-restart", "ExecMainStatus": "69"},
            "ends again and again (exit code 69) and is restarted",
        ),
        (
            # As Kafka on a full disk: what waits for it to answer goes on waiting.
            {
                "ActiveState": "activating",
                "SubState": "start-post",
                "MainPID": "0",
                "ExecMainStatus": "1",
            },
            "has ended while it started (exit code 1)",
        ),
        ({"ActiveState": "activating", "SubState": "start-post"}, "is still starting"),
        ({"ActiveState": "deactivating", "SubState": "stop-sigterm"}, "is stopping"),
    ],
)
def test_a_state_in_words(changed: dict[str, str], words: str) -> None:
    state = read_units(["telegraf"], lambda _: show(**changed))["telegraf"]
    assert not state.runs
    assert state.words == words


def test_units_follow_from_roles() -> None:
    assert units_of(["collector", "writer"]) == ["telegraf", "gap-filler", "deploy-guard"]


def journal(*lines: tuple[str, str]) -> str:
    """journalctl's output, newest first: pairs of who wrote and what."""
    return "\n".join(
        json.dumps(
            {
                "__REALTIME_TIMESTAMP": str(1_795_564_000_000_000 - index),
                "MESSAGE": text,
                "SYSLOG_IDENTIFIER": who,
            }
        )
        for index, (who, text) in enumerate(lines)
    )


def test_the_last_problem_is_the_newest_that_is_no_noise() -> None:
    asked: list[Sequence[str]] = []

    def run(argv: Sequence[str]) -> str:
        asked.append(argv)
        return journal(("telegraf", STRICT), ("telegraf", KAFKA_GONE), ("telegraf", OPC_REFUSED))

    found = Journal(run).last_problem("telegraf", 1_795_560_000_000_000_000)
    assert found is not None
    assert found.raw == KAFKA_GONE
    assert found.time_ns == (1_795_564_000_000_000 - 1) * 1000
    assert "--since=@1795560000" in asked[0]
    assert "--unit=telegraf.service" in asked[0]


def test_no_problem_no_journal_and_no_pattern_matching() -> None:
    def nothing(argv: Sequence[str]) -> str:
        raise subprocess.CalledProcessError(1, argv, "", "")

    assert Journal(nothing).last_problem("telegraf", 0) is None

    def missing(argv: Sequence[str]) -> str:
        raise FileNotFoundError(argv[0])

    assert Journal(missing).last_problem("telegraf", 0) is None
    assert Journal(missing).last_words("telegraf") is None

    def plainer(argv: Sequence[str]) -> str:
        if "--grep" in argv:
            raise subprocess.CalledProcessError(1, argv, "", "Compiled without pattern matching")
        return journal(("telegraf", "2026-11-24T23:51:53Z I! x"), ("telegraf", KAFKA_SLOW))

    found = Journal(plainer).last_problem("telegraf", 0)
    assert found is not None
    assert found.raw == KAFKA_SLOW


def test_the_last_words_of_a_service_are_its_reason() -> None:
    end = ("systemd", "stream-model.service: Failed with result 'exit-code'.")
    lines = [end, ("stream-model", UNFIT_CAUSE), ("stream-model", UNFIT)]
    lines.append(("stream-model", '{"event": "Kafka is there", "level": "info"}'))
    found = Journal(lambda _: journal(*lines)).last_words("stream-model")
    assert found is not None
    assert found.message == Message("info", UNFIT)
    stopped = [("stream-model", '{"event": "stopped", "level": "info"}')]
    assert Journal(lambda _: journal(*stopped)).last_words("stream-model") is None


def test_odd_entries_of_the_journal_are_passed_over() -> None:
    text = '{"MESSAGE": null}\nno json\n' + json.dumps(
        {"MESSAGE": list(KAFKA_SLOW.encode()), "__REALTIME_TIMESTAMP": "5"}
    )
    found = Journal(lambda _: text).last_problem("telegraf", 0)
    assert found is not None
    assert (found.raw, found.time_ns) == (KAFKA_SLOW, 5000)


def test_link_time_and_name_of_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path / "enp0s3"
    device.mkdir()
    assert has_link("enp0s3", tmp_path) is None
    for text, link in (("1\n", True), ("0\n", False)):
        (device / "carrier").write_text(text)
        assert has_link("enp0s3", tmp_path) is link
    assert not is_synchronised(tmp_path / "synchronized")
    (tmp_path / "synchronized").touch()
    assert is_synchronised(tmp_path / "synchronized")
    for name, host in (("collector", "collector"), ("db.plant.example", "db"), ("laptop", None)):
        monkeypatch.setattr("socket.gethostname", lambda name=name: name)
        assert this_host(SITE) == host
