"""Each cause of a stop as far as Kafka is told from the others; what lies behind is not blamed."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from fieldline.local import LocalHost
from fieldline.remote.endpoint import Reach
from fieldline.remote.offsets import KafkaReading
from fieldline.states import GapFillerState, ServerState, StaleVariable, VariableTimes, variable_key
from fieldline.where.probes import Told
from where_plant import (
    MODELS,
    NOW,
    SECOND,
    SITE,
    VARIABLES,
    P,
    Plant,
    S,
    T,
    down,
    failed,
    said,
    unit,
)


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
