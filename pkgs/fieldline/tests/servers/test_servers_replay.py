"""`fieldline replay` against a real InfluxDB."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from fieldline.arguments import iso
from fieldline.influx import InfluxClient, InfluxUnreachableError
from fieldline.influx.bulk import flux_range, read_runs
from fieldline.replay.command import app
from fieldline.verify.command import app as verify_app
from typer.testing import CliRunner

from .test_servers_verify import BAD, NODES, SECOND, UNCERTAIN, Plant, Point, plant

pytestmark = pytest.mark.servers

__all__ = ["plant"]


def replay(plant: Plant, *arguments: str) -> tuple[int, dict[str, Any]]:
    writer = str(plant.tokens / "influxdb-writer-token")
    return plant.run(app, "--writer-token-file", writer, *arguments)


def window(plant: Plant) -> list[str]:
    return ["--from", str(plant.begin), "--to", str(plant.begin + 20 * SECOND)]


def kept(plant: Plant, measurement: str = "model_replay") -> dict[tuple[str, ...], float]:
    """What is stored, by tags and time."""
    client = InfluxClient(plant.url, (plant.tokens / "influxdb-reader-token").read_text())
    labels = {
        "model_replay": ("asset", "name", "run"),
        "model": ("asset", "name"),
        "opc_server": ("asset", "_field"),
    }[measurement]
    flux = (
        f"{flux_range('dev', 0, 2**62)} |> filter(fn: (r) => r._measurement == "
        f'"{measurement}" and r._field != "Quality" and r._field != "revision")'
    )
    return {
        (*run.labels, str(time)): value
        for run in read_runs(client, "devorg", flux, labels)
        for time, value in zip(run.time.tolist(), run.values.tolist(), strict=True)
    }


@pytest.fixture
def recorded(plant: Plant) -> Plant:
    """A plant with uncertain and bad values, and one value of each input from before the window."""
    temperatures = [p for p in plant.values if p.name == "Temperature"]
    temperatures[3].quality = UNCERTAIN
    temperatures[4].quality = BAD
    for name, node in NODES.items():
        plant.values.append(Point("Sensors", node, name, plant.begin - 3600 * SECOND, 7.0))
    plant.compute()
    plant.store()
    return plant


def test_what_is_stored_is_computed_again_to_the_bit(recorded: Plant) -> None:
    before = kept(recorded, "model"), kept(recorded, "opc_server")
    code, report = replay(recorded, *window(recorded), "--run", "first")
    assert (code, report["equal"]) == (0, True)
    inside = {k: v for k, v in recorded.results.items() if k[1] >= recorded.begin}
    assert report["results"] == len(inside) > 200
    assert [m["compared"] for m in report["models"]] == [len(inside) // 2] * 2
    assert kept(recorded) == {
        ("Sensors", name, "first", str(at)): value for (name, at), value in inside.items()
    }
    # And what is there of the plant itself is as it was.
    assert (kept(recorded, "model"), kept(recorded, "opc_server")) == before


def test_a_dry_run_writes_nothing_and_needs_no_token_for_it(recorded: Plant) -> None:
    nowhere = str(recorded.tokens / "nowhere")
    arguments = [*window(recorded), "--dry-run", "--writer-token-file", nowhere]
    code, report = recorded.run(app, *arguments)
    assert (code, report["run"]) == (0, None)
    assert kept(recorded) == {}


def test_a_trial_is_compared_and_kept_apart(
    recorded: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trial.py").write_text("def f(x): return abs(x).mean(axis=1) + 1\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    trial = ["--model", "model1=trial:f", "--path", str(tmp_path)]
    code, report = replay(recorded, *window(recorded), *trial, "--run", "trial")
    (model,) = report["models"]
    assert code == 1
    assert model["differing"] == model["compared"] > 100
    assert model["max_abs"] == pytest.approx(1)
    assert {key[:3] for key in kept(recorded)} == {("Sensors", "model1", "trial")}
    code, report = replay(recorded, *window(recorded), *trial, "--tolerance", "1")
    assert (code, report["equal"]) == (0, True)


def test_what_lacks_on_either_side_is_told(plant: Plant) -> None:
    plant.compute()
    at = sorted(at for name, at in plant.results if name == "model2")
    del plant.results["model2", at[10]]
    plant.results["model1", at[20] + 1] = 1.0
    plant.store()
    code, report = replay(plant, *window(plant), "--dry-run")
    first, second = report["models"]
    assert code == 1
    assert (first["only_stored"], first["only_replayed"]) == (1, 0)
    assert (second["only_stored"], second["only_replayed"]) == (0, 1)
    assert second["first"] == iso(at[10])


def test_runs_are_removed_one_by_one_or_all(recorded: Plant) -> None:
    for name in ("one", "two", "three"):
        assert replay(recorded, *window(recorded), "--run", name)[0] == 0
    assert replay(recorded, "--delete", "--run", "two") == (0, {"deleted": "two"})
    assert {key[2] for key in kept(recorded)} == {"one", "three"}
    code, report = replay(recorded, *window(recorded), "--delete")
    assert {key[2] for key in kept(recorded)} == {report["run"]}
    assert code == 0
    assert replay(recorded, "--delete") == (0, {"deleted": "all"})
    assert kept(recorded) == {}
    assert len(kept(recorded, "model")) == len(recorded.results)


def test_a_replay_is_no_finding_of_verify(recorded: Plant) -> None:
    replay(recorded, *window(recorded))
    since = ["--since", str(recorded.begin), "--until", str(recorded.begin + 20 * SECOND)]
    _code, report = recorded.run(verify_app, *since, "--settle", "0s")
    assert report["models"]["invented"]["count"] == 0
    assert report["models"]["matched"] == report["models"]["required"] > 200


def test_an_asset_that_was_chosen_is_all_that_is_read(recorded: Plant) -> None:
    recorded.write(f"model,asset=Other,name=model1 value=1,revision=0i {recorded.begin + 1}")
    code, report = replay(recorded, *window(recorded), "--asset", "Sensors", "--dry-run")
    assert (code, {m["asset"] for m in report["models"]}) == (0, {"Sensors"})


def test_a_server_that_does_not_answer_is_another_exit_code(recorded: Plant) -> None:
    with pytest.raises(InfluxUnreachableError) as caught:
        replay(recorded, *window(recorded), "--url", "http://127.0.0.1:1")
    assert caught.value.code == 69


def test_the_report_for_people(recorded: Plant) -> None:
    tokens = ["--token-file", str(recorded.tokens / "influxdb-reader-token")]
    tokens += ["--writer-token-file", str(recorded.tokens / "influxdb-writer-token")]
    arguments = ["--site", str(recorded.site.path), *tokens, *window(recorded), "--run", "mine"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "run       mine" in result.output
    assert "Sensors  model1" in result.output
