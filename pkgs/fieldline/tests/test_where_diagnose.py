"""A plant that works, and what of a plant that does not makes a group."""

from __future__ import annotations

from fieldline.where.diagnosis import Cause, Stop, grouped
from where_plant import SECOND, Plant, S, T, down, said


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
