"""Results are kept, replaced, and shown as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fieldline_faults import record, table
from fieldline_faults.deeds import FULL
from fieldline_faults.evidence import Evidence
from fieldline_faults.faults import KINDS
from fieldline_faults.matrix import Cell
from fieldline_faults.record import Origin
from fieldline_faults.targets import Target
from test_faults_matrix import fine

ORIGIN = Origin("abc+", "c0de", {"cores": 2}, {"kafka": "4.1.0"})
CELL = Cell(next(kind for kind in KINDS if kind.name == "freeze"), Target("x", ("db",), "x"))


def entry(cell: str = "freeze x", **more: Any) -> dict[str, Any]:
    return {**record.line(CELL, fine(), ORIGIN, FULL, 1.5), "cell": cell, **more}


def test_a_line_has_all_that_is_needed_to_judge_it() -> None:
    line = entry()
    assert line["held"] is True
    assert (line["flowing_s"], line["complete_s"]) == (3.0, 4.0)
    assert line["fault"] == "SIGSTOP for 30 s, then SIGCONT"
    assert {"commit", "code", "machine", "versions", "at", "load", "evidence"} <= set(line)
    assert json.loads(json.dumps(line)) == line


def test_a_miss_says_what_was_missed() -> None:
    outcome = fine()
    outcome.values.lost = 3
    outcome.evidence = Evidence(1500.0, booted=["db"])
    line = record.line(CELL, outcome, ORIGIN, FULL, 0.0)
    assert line["held"] is False
    assert line["missed"] == ["values: 3 lost"]
    assert line["values"]["lost"] == 3
    assert line["mechanisms"] == ["db booted"]


def test_the_last_result_of_a_cell_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    file = tmp_path / "results/matrix.jsonl"
    assert record.read(file) == {}
    record.append(entry(held=False), file)
    record.append(entry("freeze y"), file)
    record.append(entry(held=True), file)
    assert list(record.read(file)) == ["freeze y", "freeze x"]
    assert record.read(file)["freeze x"]["held"] is True


def test_a_line_that_was_cut_off_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "matrix.jsonl"
    record.append(entry(), file)
    with file.open("a") as lines:
        lines.write('{"cell": "freeze y", "he')
    assert list(record.read(file)) == ["freeze x"]


def test_the_origin_is_this_work_tree() -> None:
    origin = Origin.here()
    assert origin.code
    assert set(origin.versions) == {"kafka", "telegraf", "influxdb", "python"}


# -- the document ----------------------------------------------------------------------------------


def test_the_document_is_what_the_results_say() -> None:
    """It is made, never written: `make faults ARGS=--table` makes it again."""
    assert table.DOCUMENT.read_text() == table.document(record.read())


def test_a_missed_bar_stands_there_as_missed() -> None:
    outcome = fine()
    outcome.flowing, outcome.complete = None, None
    outcome.values.lost = 1234
    line = record.line(CELL, outcome, ORIGIN, FULL, 0.0)
    whole = {**line, "machine": record.Origin.here().machine}
    text = table.document({"freeze x": whole})
    assert (
        "| freeze | `x` | **no** | never | never | 10 | 1,234 | 0 | 0 | nothing to heal |" in text
    )
    assert "- freeze x: never flows again; never complete; values: 1,234 lost" in text
    assert "0 of 1 cells hold" in text


def test_nothing_is_left_of_the_template() -> None:
    assert "<!--" not in table.document(record.read())


def test_kinds_that_are_gone_are_not_shown() -> None:
    assert "forgotten" not in table.document({"old x": entry("old x", kind="forgotten")})
