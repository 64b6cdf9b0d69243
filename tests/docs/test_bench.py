"""The page of the benchmarks says what the kept results say."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

import page  # noqa: E402
import sizing  # noqa: E402
from catalogue import BENCHES  # noqa: E402
from figures import Figure  # noqa: E402
from results import keep, kept  # noqa: E402


def test_the_page_is_made_from_the_results(tmp_path: Path) -> None:
    page.write(page=tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text() == page.PAGE.read_text(), (
        "write it anew: .venv/bin/python bench/run.py --page"
    )


def test_the_table_of_what_hosts_need_is_made_from_the_results(tmp_path: Path) -> None:
    made = tmp_path / "sizing.md"
    made.write_text(sizing.PAGE.read_text())
    sizing.write(page=made)
    assert made.read_text() == sizing.PAGE.read_text(), (
        "write it anew: .venv/bin/python bench/run.py --page"
    )


def test_a_host_s_needs_are_the_sum_of_its_units(tmp_path: Path) -> None:
    unit = {"cpu_percent": 1.5, "memory_mib": 40.0}
    size = {
        "variables": 1000,
        "values_per_s": 1000.0,
        "results_per_s": 500.0,
        "lags": False,
        "kafka_bytes": {"per_value": 20.0, "per_result": 100.0},
        "influxdb_bytes": {"per_value": 30.0},
        "units": {"opc opc-server": unit, "db influxdb2": unit, "db ledger": unit},
    }
    content: dict[str, object] = {
        "machine": {"cpu": "C"},
        "sizes": {"v1000": size, "v9000": {**size, "lags": True}},
    }
    keep("chain", "2026-01-01", content, tmp_path)
    history: dict[str, object] = {"recording": {"bytes_per_value": 24}}
    keep("opc-server-history", "2026-01-01", history, tmp_path)
    page_ = tmp_path / "sizing.md"
    page_.write_text("before\n<!-- begin: bench/sizing.py -->\nold\n<!-- end -->\nafter\n")
    sizing.write(tmp_path, page_)
    text = page_.read_text()
    assert text.startswith("before\n")
    assert text.endswith("<!-- end -->\nafter\n")
    assert "old" not in text
    # 86,400 s of 1,000 values of 24 bytes.
    assert "| 1,000 variables | `opc` | 1.5 | 40 | 2.07 GB |" in text
    assert "| 1,000 variables | `db` | 3 | 80 | 6.05 GB Kafka, 2.59 GB InfluxDB |" in text
    assert "| 9" not in text


def test_each_benchmark_has_its_script_and_each_result_its_benchmark() -> None:
    for bench in BENCHES:
        assert (ROOT / "bench" / bench.script).is_file(), bench.name
    files = {path for bench in BENCHES for path in (r.path for r in kept(bench.name))}
    assert files == set(page.FOLDER.glob("*.json"))


def test_a_later_result_stands_before_the_earlier_one(tmp_path: Path) -> None:
    bench = BENCHES[0]
    figure = bench.figures[0]
    for date, value in (("2026-01-02", 2.5), ("2026-01-01", 1.5)):
        content: dict[str, object] = {}
        place = content
        *way, last = figure.path.split(".")
        for key in way:
            place = place.setdefault(key, {})  # type: ignore[assignment]
        place[last] = value
        keep(bench.name, date, content, tmp_path)
    page.write(tmp_path, tmp_path / "README.md")
    text = (tmp_path / "README.md").read_text()
    assert f"| {figure.label}, {figure.unit} |  | 2.5 | 1.5 |" in text


def test_what_is_no_result_is_refused(tmp_path: Path) -> None:
    (tmp_path / "2026-01-01-x.json").write_text("[]")
    with pytest.raises(ValueError, match="no result"):
        kept("x", tmp_path)
    (tmp_path / "2026-01-01-x.json").write_text("{")
    with pytest.raises(json.JSONDecodeError):
        kept("x", tmp_path)


@pytest.mark.parametrize(
    ("better", "values", "met"),
    [
        ("more", [3, 5], True),
        ("more", [2, 5], False),
        ("less", [3, 1], True),
        ("less", [4, 1], False),
        ("less", [], None),
    ],
)
def test_a_bar_is_met_by_all_values_or_missed(
    better: str, values: list[float], met: bool | None
) -> None:
    figure = Figure("x", "a.*.b", "s", "more" if better == "more" else "less", bar=3)
    assert figure.values({"a": [{"b": value} for value in values]}) == values
    assert figure.values({"a": {str(n): {"b": v} for n, v in enumerate(values)}}) == values
    assert figure.met(values) is met


def test_a_figure_that_is_not_there_is_shown_as_that() -> None:
    figure = Figure("x", "a.b", "s", "less")
    assert figure.values({"a": [1]}) == []
    assert page.span([]) == "–"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (7, "7"), (0.1234, "0.123"), (58.13, "58.1"), (83412, "83,400"), (1234.5, "1,230")],
)
def test_figures_have_three_digits(value: float, text: str) -> None:
    assert page.number(value) == text
