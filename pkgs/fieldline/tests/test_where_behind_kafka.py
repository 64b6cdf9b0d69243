"""Each cause of a stop behind Kafka is told from the others: models, the writer, InfluxDB."""

from __future__ import annotations

import msgspec
import pytest
from fieldline.local import LocalHost
from fieldline.remote.endpoint import Reach
from fieldline.states import FailingModel, StreamModelState
from fieldline.where.probes import Told
from where_plant import MODELS, NOW, SECOND, VARIABLES, P, Plant, S, T, down, failed, said, unit

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
        words={"stream-model": failed("The changelog of partition 0 is not one of this version's")},
        model=Told(problem="x", reach="refused"),
        store_unseen="elsewhere",
    )
    plant.stop(*MODELS, age=20.0)
    group = plant.only()
    assert said(group) == ("stream-model", "collector", "refused-to-run")
    assert "exit code 78" in group.cause
    assert "The changelog of partition 0 is not one of this version's" in group.cause
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


# -- the writer and InfluxDB ----------------------------------------------------------------------


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
