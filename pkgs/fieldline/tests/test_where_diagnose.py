"""Each cause of a stop is told from the others, at its hop; what lies behind is not blamed."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from fieldline.local import LocalHost, UnitState
from fieldline.provision.topics import DEAD_LETTER
from fieldline.remote.endpoint import Reach
from fieldline.remote.offsets import KafkaReading
from fieldline.states import (
    FailingModel,
    GapFillerState,
    LedgerState,
    Restarts,
    ServerState,
    StaleVariable,
    StreamModelState,
    VariableTimes,
    variable_key,
)
from fieldline.where.diagnosis import Cause, Stop, Stopped, grouped
from fieldline.where.probes import Told
from fieldline.where.tail import Refused
from where_plant import MODELS, NOW, SECOND, SITE, VARIABLES, P, Plant, S, T, down, failed


def said(group: Stopped) -> tuple[str, str, str]:
    return group.hop, group.name, group.code


def unit(name: str, active: str, **more: object) -> UnitState:
    defaults: dict[str, object] = {"sub": "", "result": "exit-code", "main": False}
    return UnitState(name, active, **{**defaults, **more})  # type: ignore[arg-type]


def test_a_plant_that_works_has_nothing_to_say() -> None:
    found = Plant().diagnosis()
    assert (found.stopped, found.notes, found.unseen) == ([], [], [])
    assert (found.host, found.declared, found.arriving, found.seen_at) == ("db", 5, 5, "InfluxDB")


def test_slow_variables_are_not_stale_and_fast_ones_are_after_ten_seconds() -> None:
    plant = Plant()
    # Three periods of 8 s; and a model goes by its fastest input.
    plant.stop(S, age=23.0)
    assert plant.diagnosis().stopped == []
    plant.stop(S, age=25.0)
    plant.stop(T, age=9.0)
    assert plant.only().worst[0].series == "Sensors/SlowSensor"


# -- before Kafka ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reach", "code"),
    [("refused", "not-running"), ("silent", "host-silent"), ("hangs", "hangs"), ("odd", "odd")],
)
def test_the_server_that_cannot_be_reached(reach: Reach, code: str) -> None:
    plant = Plant(server=down(reach))
    plant.everything(30.0)
    group = plant.only()
    assert said(group) == ("server", "opc", code)
    # Models stopped with their inputs: one group, one cause.
    assert (group.variables, group.models, group.never) == (3, 2, 0)
    assert group.since_ns == group.until_ns == NOW - 30 * SECOND
    assert "opc" in group.cause
    assert group.what_to_do
    assert plant.diagnosis().arriving == 0


def test_the_first_broken_hop_explains_those_behind_it() -> None:
    """Server, collector, Kafka, models and the writer are all down: only the server is named."""
    plant = Plant(
        server=down("refused"),
        collector=down("refused"),
        writer=down("refused"),
        model=Told(problem="x", reach="refused"),
        broker=KafkaReading(problem="x", reach="refused"),
        store_problem="Connection refused",
        store_reach="refused",
    )
    assert said(plant.only()) == ("server", "opc", "not-running")


def test_its_own_host_knows_more_of_a_unit() -> None:
    here = LocalHost("opc", {"opc-server": unit("opc-server", "inactive")})
    plant = Plant(host="opc", here=here, server=down("refused"), store_unseen="elsewhere")
    group = plant.only()
    assert said(group) == ("server", "opc", "stopped")
    assert group.what_to_do == "On opc: `systemctl start opc-server`."
    crashing = unit("opc-server", "activating", sub="auto-restart", status=69)
    plant.here = LocalHost("opc", {"opc-server": crashing})
    plant.words = {"opc-server": failed("The record cannot be kept in /var/lib/opc-server/record.")}
    group = plant.only()
    assert group.code == "failing"
    assert "ends again and again (exit code 69)" in group.cause
    assert group.cause.endswith(
        "Its last words: The record cannot be kept in /var/lib/opc-server/record."
    )


def test_a_source_that_has_stopped_while_its_server_lives() -> None:
    plant = Plant(recorded={T: (0.2, 0), P: (30.0, 0), S: (3.0, 0)})
    plant.stop(P, age=30.0)
    group = plant.only()
    assert said(group) == ("server", "opc", "source-stopped")
    assert (group.variables, group.models) == (1, 0)
    assert group.since_ns == NOW - 30 * SECOND


def test_a_source_of_bad_quality_in_the_database_in_kafka_and_in_the_record() -> None:
    bad = 0x808C0000
    plant = Plant(status={P: bad}, usable={P: 40.0})
    group = plant.only()
    assert said(group) == ("server", "opc", "source-bad")
    assert "BadSensorFailure" in group.cause
    # Since its last value that could be used.
    assert group.since_ns == NOW - 40 * SECOND
    assert plant.diagnosis().arriving == 4

    plant = Plant(store_unseen="elsewhere", host="collector", status={P: bad})
    plant.stop(P, age=0.5)
    assert said(plant.only()) == ("server", "opc", "source-bad")

    # A status that Telegraf does not pass on: only the record has it.
    plant = Plant(recorded={T: (0.2, 0), P: (0.3, 0x80B60000), S: (3.0, 0)})
    plant.stop(P, age=30.0)
    group = plant.only()
    assert said(group) == ("server", "opc", "source-bad")
    assert "0x80B60000" in group.cause


def test_uncertain_values_are_values() -> None:
    assert Plant(status={P: 0x40900000}).diagnosis().stopped == []


def test_an_unknown_node_id() -> None:
    # The server's own record does not have the variable.
    plant = Plant(recorded={T: (0.2, 0), S: (3.0, 0)})
    plant.stop(P, age=3600.0)
    assert said(plant.only()) == ("server", "opc", "unknown-node")
    # Without a record: no value ever, while the others of that server flow.
    plant = Plant()
    plant.stop(P, age=1.0)
    plant.stored[P] = None
    plant.kafka = {**(plant.kafka or {}), P: None}
    group = plant.only(P)
    assert said(group) == ("server", "opc", "unknown-node")
    assert (group.never, group.since_ns) == (1, None)
    # With its status, from who asked the server itself.
    times = VariableTimes(None, None, 0x80340000)
    state = GapFillerState({}, {variable_key("Sensors", P): times})
    plant = Plant(gap_filler=state)
    plant.stop(P, age=3600.0)
    assert said(plant.only()) == ("server", "opc", "unknown-node")


def test_models_wait_for_an_input_that_never_came() -> None:
    plant = Plant()
    plant.stop(P, *MODELS, age=1.0)
    for name in (P, *MODELS):
        plant.stored[name] = None
        assert plant.kafka is not None
        plant.kafka[name] = None
    group = plant.only()
    assert (group.code, group.variables, group.models, group.never) == ("unknown-node", 1, 2, 3)


def test_no_data_at_all_yet() -> None:
    plant = Plant(recorded=dict.fromkeys(VARIABLES, (0.2, 0)), sessions=1.0)
    plant.kafka = dict.fromkeys((*VARIABLES, *MODELS))
    plant.stored = dict.fromkeys((*VARIABLES, *MODELS))
    group = plant.only()
    assert said(group) == ("subscription", "collector", "subscription-dead")
    assert (group.variables, group.models, group.never) == (3, 2, 5)
    assert group.since_ns is None


@pytest.mark.parametrize("reach", ["refused", "silent", "hangs"])
def test_the_collectors_telegraf(reach: Reach) -> None:
    plant = Plant(collector=down(reach), model=Told(problem="x", reach=reach))
    plant.everything(30.0)
    group = plant.only()
    expected = {"refused": "not-running", "silent": "host-silent", "hangs": "hangs"}
    assert said(group) == ("subscription", "collector", expected[reach])


def test_a_dead_subscription() -> None:
    plant = Plant(recorded={T: (0.2, 0), P: (1.0, 0), S: (3.0, 0)})
    plant.everything(30.0)
    group = plant.only()
    assert said(group) == ("subscription", "collector", "subscription-dead")
    assert "opc, which has new values" in group.cause
    # Without the record nothing is said of the server.
    plant.recorded = None
    assert "which has new values" not in plant.only().cause
    plant.sessions = 0.0
    assert said(plant.only()) == ("subscription", "collector", "no-session")


def test_kafka_that_does_not_take_the_collectors_values() -> None:
    # What comes in two seconds may wait at any moment.
    plant = Plant(waiting=5.0, sessions=0.0)
    plant.everything(30.0)
    assert plant.only().code == "no-session"
    plant.waiting = 200.0
    group = plant.only()
    assert said(group) == ("kafka", "opc", "kafka-not-reached")
    assert "holds 200 values" in group.cause
    assert "between collector and db is cut" in group.cause


@pytest.mark.parametrize(
    ("reach", "code"), [("refused", "not-running"), ("hangs", "hangs"), ("silent", "not-reached")]
)
def test_kafka_itself(reach: Reach, code: str) -> None:
    plant = Plant(broker=KafkaReading(problem="no broker answers", reach=reach), waiting=200.0)
    plant.everything(30.0)
    plant.kafka = None
    assert said(plant.only()) == ("kafka", "opc", code)


def test_kafka_that_was_stopped_is_known_on_its_own_host() -> None:
    here = LocalHost("db", {"apache-kafka": unit("apache-kafka", "inactive")})
    plant = Plant(here=here, broker=KafkaReading(problem="x", reach="refused"))
    plant.everything(30.0)
    plant.kafka = None
    assert said(plant.only()) == ("kafka", "opc", "stopped")
    # On a full disk it ends while it starts.
    ended = unit("apache-kafka", "activating", sub="start-post", status=1)
    plant.here = LocalHost("db", {"apache-kafka": ended})
    plant.words = {
        "apache-kafka": failed(
            "ERROR LogManager Shutdown broker because all log dirs in /var/lib/x have failed"
        )
    }
    group = plant.only()
    assert group.code == "failing"
    assert "cannot write to its disk: full" in group.cause


def test_a_host_that_is_cut_off_blames_the_way_to_the_others() -> None:
    """Seen from the database host, all others are silent: the way to Kafka is what is cut."""
    plant = Plant(
        server=down("silent"), collector=down("silent"), model=Told(problem="x", reach="silent")
    )
    plant.everything(30.0)
    assert said(plant.only()) == ("kafka", "opc", "cut-off")
    plant.here = LocalHost("db", {}, link=False)
    group = plant.only()
    assert said(group) == ("kafka", "opc", "no-link")
    assert "network cable of this host, db," in group.cause
    # From the collector, which is cut off as well from the server as from Kafka: the subscription.
    plant.here = LocalHost("collector", {}, link=False)
    plant.store_unseen, plant.kafka = "elsewhere", None
    plant.broker = KafkaReading(problem="x", reach="silent")
    plant.collector, plant.model = None, Told()
    plant.writer = down("silent")
    plant.gap_filler = GapFillerState(
        variables={variable_key("Sensors", name): VariableTimes() for name in VARIABLES}
    )
    assert said(plant.only(T)) == ("subscription", "collector", "no-link")


def test_one_silent_host_is_off_rather_than_all_others() -> None:
    plant = Plant(server=down("silent"))
    plant.everything(30.0)
    assert plant.only().code == "host-silent"


# -- what the gap filler knows --------------------------------------------------------------------


def test_a_server_that_the_gap_filler_cannot_reach() -> None:
    """A PLC: the collector alone may reach it."""
    plc = replace(SITE.servers["opc"], own=False, host=None)
    state = GapFillerState({"opc": ServerState(connected=False, problem="BadTimeout")})
    plant = Plant(site=replace(SITE, servers={"opc": plc}), gap_filler=state, server_told=False)
    plant.everything(30.0)
    group = plant.only()
    assert said(group) == ("server", "opc", "server-unreachable")
    assert group.cause.endswith("BadTimeout")


def test_a_server_of_ours_that_answers_here_and_not_its_collector() -> None:
    state = GapFillerState({"opc": ServerState(connected=False, problem="no answer")})
    plant = Plant(gap_filler=state)
    plant.everything(30.0)
    group = plant.only()
    assert said(group) == ("subscription", "collector", "not-connected")
    assert "the network between the two is cut" in group.cause


def test_a_value_that_stays_as_it_is_has_not_stopped() -> None:
    stale = StaleVariable("Sensors", P, NOW - 500 * SECOND, "server", "the same", "unchanged")
    plant = Plant(gap_filler=GapFillerState(stale=[stale]))
    plant.stop(P, age=500.0)
    found = plant.diagnosis()
    assert (found.stopped, found.arriving) == ([], 5)
    stopped = msgspec.structs.replace(stale, code="source-stopped")
    plant.gap_filler = GapFillerState(stale=[stopped])
    assert said(plant.only()) == ("server", "opc", "source-stopped")


def test_a_server_that_is_cut_off_from_here_only_is_not_blamed() -> None:
    state = GapFillerState({"opc": ServerState(connected=True)})
    plant = Plant(gap_filler=state, server=down("silent"), collector=down("refused"))
    plant.everything(30.0)
    assert said(plant.only()) == ("subscription", "collector", "not-running")


def test_what_the_gap_filler_says_of_a_source() -> None:
    stale = StaleVariable("Sensors", P, NOW - 50 * SECOND, "server", "no new value for 50 s")
    key = variable_key("Sensors", P)
    state = GapFillerState({}, {key: VariableTimes(None, NOW - 50 * SECOND, 0)}, [stale])
    plant = Plant(gap_filler=state)
    plant.stop(P, age=70.0)
    group = plant.only()
    assert said(group) == ("server", "opc", "told")
    assert group.cause == "no new value for 50 s"
    assert group.since_ns == NOW - 50 * SECOND
    # Behind the server it is judged by what is seen from here.
    dead = msgspec.structs.replace(stale, hop="subscription")
    newer = {key: VariableTimes(NOW - 50 * SECOND, NOW, 0)}
    plant.gap_filler = GapFillerState({}, newer, [dead])
    group = plant.only()
    assert said(group) == ("subscription", "collector", "subscription-dead")
    assert "which has new values" in group.cause


# -- models ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reach", "code"), [("refused", "not-running"), ("silent", "not-reached"), ("hangs", "hangs")]
)
def test_the_stream_model_that_does_not_run(reach: Reach, code: str) -> None:
    plant = Plant(model=Told(problem="x", reach=reach))
    plant.stop(*MODELS, age=20.0)
    group = plant.only()
    assert said(group) == ("stream-model", "collector", code)
    assert (group.variables, group.models) == (0, 2)


def test_a_state_that_does_not_fit_is_told_on_its_own_host() -> None:
    state = unit("stream-model", "failed", status=78)
    plant = Plant(
        host="collector",
        here=LocalHost("collector", {"stream-model": state}),
        words={"stream-model": failed("The state of partition 0 does not fit the group's offset")},
        model=Told(problem="x", reach="refused"),
        store_unseen="elsewhere",
    )
    plant.stop(*MODELS, age=20.0)
    group = plant.only()
    assert said(group) == ("stream-model", "collector", "refused-to-run")
    assert "exit code 78" in group.cause
    assert "The state of partition 0 does not fit" in group.cause
    assert "docs/recovery.md" in group.what_to_do


def test_a_stream_model_that_waits_or_fails_or_is_behind_or_silent() -> None:
    plant = Plant(model=Told(StreamModelState("0", waiting="Kafka has no topic model.changelog.")))
    plant.stop(*MODELS, age=20.0)
    group = plant.only()
    assert said(group) == ("stream-model", "collector", "model-waits")
    assert group.cause.endswith("model.changelog.")

    failing = FailingModel("sensors.model1", "ZeroDivisionError: division by zero", NOW - SECOND)
    plant = Plant(model=Told(StreamModelState("0", failing=[failing])))
    plant.stop("model1", age=20.0)
    group = plant.only()
    assert said(group) == ("stream-model", "collector", "model-failing")
    assert group.worst[0].series == "Sensors/model1"
    assert "ZeroDivisionError" in group.cause

    # It failed an hour ago, and works on a backlog now.
    old = msgspec.structs.replace(failing, last_ns=NOW - 3600 * SECOND)
    plant.model = Told(StreamModelState("0", failing=[old]))
    plant.lags = {"stream-model": 70}
    assert said(plant.only()) == ("stream-model", "stream-model", "model-behind")
    plant.lags = {}
    assert said(plant.only()) == ("stream-model", "stream-model", "model-silent")


def test_an_older_stream_model_without_a_state_may_work() -> None:
    plant = Plant(model=Told(problem="answers HTTP 404", reach="odd"), lags={"stream-model": 9})
    plant.stop(*MODELS, age=20.0)
    assert plant.only().code == "model-behind"


def test_a_model_goes_on_with_the_inputs_that_still_come() -> None:
    # The fast input has stopped; the results are as new as the slow ones.
    plant = Plant(recorded={T: (30.0, 0), P: (1.0, 0), S: (13.0, 0)})
    plant.stop(T, age=30.0)
    plant.stop(S, *MODELS, age=13.0)
    plant.stop(P, age=14.0)
    plant.status = {P: 0x808C0000}
    found = plant.diagnosis()
    assert sum(group.models for group in found.stopped) == 0
    assert found.arriving == 3


# -- behind Kafka ---------------------------------------------------------------------------------


@pytest.mark.parametrize("reach", ["refused", "hangs"])
def test_the_writer_that_does_not_run(reach: Reach) -> None:
    plant = Plant(writer=down(reach))
    plant.everything(30.0, kafka=0.5)
    group = plant.only()
    assert said(group) == ("writer", "db", {"refused": "not-running", "hangs": "hangs"}[reach])
    assert (group.variables, group.models) == (3, 2)


def test_a_writer_that_is_behind_or_loses() -> None:
    plant = Plant(lags={"telegraf-opc": 40})
    plant.stop(*VARIABLES, age=30.0, kafka=0.5)
    assert said(plant.only()) == ("writer", "db", "writer-behind")
    plant.lags = {}
    assert said(plant.only()) == ("writer", "db", "writer-loses")


@pytest.mark.parametrize(
    ("reach", "code"), [("refused", "not-running"), ("hangs", "hangs"), ("odd", "influxdb-asks")]
)
def test_influxdb_that_does_not_answer(reach: Reach, code: str) -> None:
    plant = Plant(store_problem="HTTP 503", store_reach=reach, writer_waiting=9, writer_errors=3)
    plant.everything(0.5)
    group = plant.only()
    assert said(group) == ("influxdb", "InfluxDB", code)
    assert (group.variables, group.models, group.since_ns) == (3, 2, None)


def test_influxdb_is_down_and_kafka_cannot_be_read() -> None:
    plant = Plant(store_problem="x", store_reach="refused")
    assert said(plant.only()) == ("influxdb", "InfluxDB", "not-running")


def test_influxdb_that_refuses_what_is_written() -> None:
    full = failed(
        '2026-11-25T00:05:58Z E! [outputs.influxdb_v2] failed to write metrics to bucket "dev": 500'
        " Internal Server Error: no space left on device"
    )
    plant = Plant(writer_waiting=155, writer_errors=20, words={"telegraf": full})
    plant.everything(30.0, kafka=0.5)
    group = plant.only()
    assert said(group) == ("influxdb", "InfluxDB", "influxdb-refuses")
    assert group.cause.endswith("sends: its disk is full")
    # What its input says of Kafka is none of InfluxDB's.
    plant.words = {"telegraf": failed("2026-11-25T00:00:00Z E! [inputs.kafka_consumer::opc] EOF")}
    assert plant.only().cause.endswith("sends")
    # Errors of long ago, and no more waits than at any moment: not the reason.
    plant.writer_waiting = 3
    assert plant.only().code == "writer-loses"


def test_what_influxdb_refuses_may_be_seen_in_it_all_the_same() -> None:
    """On a full disk points are in its memory, where queries find them, and lost at its end."""
    full = failed("2026-11-25T00:05:58Z E! [outputs.influxdb_v2] no space left on device")
    plant = Plant(writer_waiting=155, writer_errors=20, words={"telegraf": full})
    found = plant.diagnosis()
    assert (found.stopped, found.arriving) == ([], 5)
    assert [(note.hop, note.code) for note in found.notes] == [("influxdb", "influxdb-refuses")]
    assert "its disk is full" in found.notes[0].text


# -- clocks, notes, and what cannot be seen -------------------------------------------------------


def test_a_clock_ahead_is_noted_and_stops_nothing() -> None:
    plant = Plant(clock_s=3600.0)
    plant.stored = dict.fromkeys((*VARIABLES, *MODELS), -3600.0)
    found = plant.diagnosis()
    assert found.stopped == []
    assert [(note.hop, note.name, note.code) for note in found.notes] == [
        ("server", "opc", "clock-ahead")
    ]
    assert "3600 s in the future" in found.notes[0].text
    # Of a server whose clock nobody can ask, the stored times tell.
    plant.clock_s = 0.0
    assert plant.diagnosis().notes[0].code == "clock-ahead"


def test_a_clock_behind_is_noted_and_stops_nothing() -> None:
    plant = Plant(clock_s=-120.0)
    plant.stored = dict.fromkeys((*VARIABLES, *MODELS), 120.5)
    plant.kafka = dict(plant.stored)
    found = plant.diagnosis()
    assert (found.stopped, found.arriving) == ([], 5)
    assert [note.code for note in found.notes] == ["clock-behind"]


def test_values_dated_in_the_past_arrive_all_the_same() -> None:
    """Of a PLC nobody can ask the clock: what comes now, dated before, tells."""
    plant = Plant(arrived=dict.fromkeys(VARIABLES, 0.5))
    plant.stop(*VARIABLES, age=40.0)
    found = plant.diagnosis()
    assert found.stopped == []
    assert (found.notes[0].code, found.notes[0].text.count("40 s behind")) == ("clock-behind", 1)
    # But not if InfluxDB does not get them.
    plant.stored = {**plant.stored, **dict.fromkeys(VARIABLES, 55.0)}
    assert plant.only().hop == "writer"


def test_notes() -> None:
    state = GapFillerState(restarts={"telegraf": Restarts(2, NOW - 60 * SECOND, "no value")})
    ledger = LedgerState(
        {
            "influxdb2": Restarts(1, NOW - 7200 * SECOND, "it refused"),
            "telegraf": Restarts(1, NOW - 60 * SECOND, "nothing is taken"),
        }
    )
    restarted = replace(unit("influxdb2", "active"), restarts=3, since_ns=NOW - 60 * SECOND)
    long_ago = replace(restarted, name="apache-kafka", since_ns=NOW - 7200 * SECOND)
    refused = [
        Refused((NOW - 90 * SECOND) // 10**6, "old"),
        Refused((NOW - 5 * SECOND) // 10**6, "bad-quality", "Sensors", P),
    ]
    plant = Plant(
        certain=0.0,
        dropped=7.0,
        gap_filler=state,
        ledger=ledger,
        here=LocalHost("db", {"influxdb2": restarted, "apache-kafka": long_ago}),
        refused=refused,
    )
    plant.kafka = dict(plant.stored)
    notes = {(note.hop, note.name, note.code): note.text for note in plant.diagnosis().notes}
    assert set(notes) == {
        ("server", "opc", "time-uncertain"),
        ("subscription", "collector", "values-dropped"),
        ("subscription", "collector", "restarts"),
        ("influxdb", "db", "restarts"),
        ("writer", "db", "restarts"),
        ("stream-model", DEAD_LETTER, "records-refused"),
    }
    assert (
        "1 records in a minute cannot be used (bad-quality), such as of Sensors/Pressure"
        in (notes["stream-model", DEAD_LETTER, "records-refused"])
    )
    assert "gap filler: no value" in notes["subscription", "collector", "restarts"]
    assert "ledger: nothing is taken" in notes["writer", "db", "restarts"]
    # What the ledger has had restarted two hours ago is history.
    assert "3 times" in notes["influxdb", "db", "restarts"]


def test_what_cannot_be_seen_from_here_is_said_and_not_judged() -> None:
    plant = Plant(
        host="opc",
        store_unseen="it answers on its own host only (db)",
        broker=KafkaReading(problem="this host may not reach it", reach="unasked"),
    )
    found = plant.diagnosis()
    assert (found.stopped, found.arriving, found.seen_at) == ([], 0, "")
    assert found.unseen == [
        "InfluxDB: it answers on its own host only (db)",
        "Kafka: this host may not reach it",
    ]
    # What is broken for sure is said all the same.
    plant.collector = down("refused")
    assert said(plant.only()) == ("subscription", "collector", "not-running")
    unknown = Plant(host=None).diagnosis()
    assert unknown.unseen == ["units and journal: this machine is none of the site's hosts"]
    barred = Plant(here=LocalHost("db", problem="no systemd")).diagnosis()
    assert barred.unseen == ["units and journal of db: no systemd"]


def test_a_site_without_a_database() -> None:
    hosts = {n: replace(h, roles=()) if n == "db" else h for n, h in SITE.hosts.items()}
    hosts["db"] = replace(hosts["db"], roles=("kafka",))
    site = replace(SITE, hosts=hosts)
    plant = Plant(site=site, host="db", store_unseen="no host of the site has it")
    plant.stop(P, age=30.0)
    assert [said(group) for group in plant.diagnosis().stopped] == [
        ("subscription", "collector", "subscription-dead")
    ]


def test_kafka_is_the_last_place_where_influxdb_cannot_be_seen() -> None:
    plant = Plant(host="collector", store_unseen="elsewhere")
    plant.stop(P, age=30.0)
    found = plant.diagnosis()
    assert (found.seen_at, found.arriving, found.declared) == ("Kafka", 4, 5)
    assert [said(group) for group in found.stopped] == [
        ("subscription", "collector", "subscription-dead")
    ]


# -- groups ---------------------------------------------------------------------------------------


def test_ten_thousand_variables_are_few_groups_and_the_worst_stand_in_front() -> None:
    first, second = Cause("a", "one", "do"), Cause("b", "two", "do")
    stops = [
        Stop(f"press{i}/Force", "kafka", "opc", first, (20_000 - i) * SECOND) for i in range(9_000)
    ]
    stops += [Stop(f"pump{i}/Flow", "server", "plc", second, None, never=i == 5) for i in range(9)]
    groups = grouped(stops)
    assert [(g.hop, g.variables) for g in groups] == [("server", 9), ("kafka", 9_000)]
    assert groups[0].worst[0].series == "pump5/Flow"
    assert (groups[0].never, groups[0].since_ns, groups[0].until_ns) == (1, None, None)
    assert len(groups[1].worst) == 20
    assert groups[1].worst[0].series == "press8999/Force"
    assert (groups[1].since_ns, groups[1].until_ns) == (11_001 * SECOND, 20_000 * SECOND)


def test_only_what_is_named_is_judged_with_a_models_inputs() -> None:
    plant = Plant(server=down("refused"))
    plant.everything(30.0)
    group = plant.only(T)
    assert (group.variables, group.models) == (1, 0)
    group = plant.only("Sensors/model2")
    assert said(group) == ("server", "opc", "not-running")
    assert (group.variables, group.models) == (0, 1)
