"""The witness is read whole, from its files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fieldline.errors import FieldlineError
from fieldline.record import RecordVariable, RecordWriter
from fieldline.record.reader import list_segments
from fieldline.verify.catalogue import Catalogue, DeclaredVariable
from fieldline_faults.witness import Witness

START, SECOND, HOUR = 1_800_000_000_000_000_000, 1_000_000_000, 3_600_000_000_000
NAMES = ("Force", "Stroke")


def catalogue(*names: str) -> Catalogue:
    variables = tuple(
        DeclaredVariable("press1", name, f"ns=2;s=press1.{name}", "opc", True, 200)
        for name in names
    )
    index = {(v.asset, v.variable): i for i, v in enumerate(variables)}
    return Catalogue(variables, (), index, {})


def writer(folder: Path, *names: str) -> RecordWriter:
    recorded = [RecordVariable("press1", name, f"ns=2;s=press1.{name}") for name in names]
    return RecordWriter(folder, recorded, 24 * HOUR // 10**6)


def write(record: RecordWriter, time_ns: int, *values: float) -> None:
    count = len(values)
    record.append(time_ns, np.arange(count), np.zeros(count, np.uint32), np.array(values))


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    return Witness(tmp_path, catalogue(*NAMES))


def test_every_entry_of_every_segment_is_there(tmp_path: Path, witness: Witness) -> None:
    record = writer(tmp_path, *NAMES)
    for number in range(3):
        write(record, START + number * HOUR, float(number), 10.0 + number)
    assert len(list_segments(tmp_path)) == 3
    found = witness.points()
    assert found.series.tolist() == [0, 1] * 3
    assert found.value.tolist() == [0.0, 10.0, 1.0, 11.0, 2.0, 12.0]
    assert witness.points(START + 1, START + 2 * HOUR).time.tolist() == [START + HOUR] * 2


def test_variables_are_told_by_name_whatever_their_order(tmp_path: Path, witness: Witness) -> None:
    write(writer(tmp_path, "Stroke", "Force"), START, 5.0, 6.0)
    found = witness.points()
    assert dict(zip(found.series.tolist(), found.value.tolist(), strict=True)) == {1: 5.0, 0: 6.0}


def test_the_newest_is_followed_as_it_is_written(tmp_path: Path, witness: Witness) -> None:
    record = writer(tmp_path, *NAMES)
    assert witness.newest().tolist() == [0, 0]
    write(record, START, 1.0)
    assert witness.newest().tolist() == [START, 0]
    write(record, START + SECOND, 1.0, 2.0)
    assert witness.newest().tolist() == [START + SECOND] * 2
    # Another process, another segment, fewer variables; and a clock that went back.
    other = writer(tmp_path, "Stroke")
    write(other, START + 2 * SECOND, 3.0)
    write(record, START + SECOND // 2, 1.0, 2.0)
    assert witness.newest().tolist() == [START + SECOND, START + 2 * SECOND]


def test_half_an_entry_is_none_until_it_is_whole(tmp_path: Path, witness: Witness) -> None:
    write(writer(tmp_path, *NAMES), START, 1.0, 2.0)
    segment = list_segments(tmp_path)[0]
    whole = segment.read_bytes()
    segment.write_bytes(whole[:-5])
    assert witness.newest().tolist() == [START, 0]
    assert len(witness.points()) == 1
    segment.write_bytes(whole)
    assert witness.newest().tolist() == [START, START]


def test_zeros_of_a_power_cut_are_no_values(tmp_path: Path, witness: Witness) -> None:
    write(writer(tmp_path, *NAMES), START, 1.0, 2.0)
    segment = list_segments(tmp_path)[0]
    segment.write_bytes(segment.read_bytes() + bytes(48))
    assert witness.newest().tolist() == [START, START]
    assert len(witness.points()) == 2


def test_a_variable_that_nobody_declared_is_refused(tmp_path: Path, witness: Witness) -> None:
    write(writer(tmp_path, "Force", "Torque"), START, 1.0, 2.0)
    with pytest.raises(FieldlineError, match="press1/Torque"):
        witness.points()
    with pytest.raises(FieldlineError, match="press1/Torque"):
        witness.newest()


def test_without_a_witness_there_is_no_check(tmp_path: Path) -> None:
    nowhere = Witness(tmp_path / "nowhere", catalogue(*NAMES))
    with pytest.raises(FieldlineError, match="no witness"):
        nowhere.points()
    with pytest.raises(FieldlineError, match="no witness"):
        nowhere.newest()
