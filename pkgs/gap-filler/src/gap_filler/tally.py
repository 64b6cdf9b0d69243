"""Hour totals per variable: what `opc.ledger` tells (meanings in fieldline.messages.ledger)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from fieldline.messages.ledger import HISTORY_FIELDS, HOUR_NS
from numpy.typing import NDArray

Counts = NDArray[np.int64]

FIELD = {name: place for place, name in enumerate(HISTORY_FIELDS)}
# Without a history nobody knows these two.
_OF_HISTORY = ("produced", "missing")


class Row(NamedTuple):
    """The totals of one variable's hour; hour: its begin, ns."""

    variable: int
    hour: int
    fields: dict[str, int]


class Tally:
    """Totals of the hours that may still change.

    Args:
        variables: how many.
    """

    def __init__(self, variables: int) -> None:
        self._variables = variables
        self._hours: dict[int, Counts] = {}
        self._told: dict[int, Counts] = {}
        self._known: dict[int, NDArray[np.bool_]] = {}

    def _of(self, hour: int) -> Counts:
        if hour not in self._hours:
            shape = (self._variables, len(HISTORY_FIELDS))
            self._hours[hour] = np.zeros(shape, np.int64)
            self._told[hour] = np.zeros(shape, np.int64)
            self._known[hour] = np.zeros(self._variables, np.bool_)
        return self._hours[hour]

    def closed(self, hour: int, known: NDArray[np.bool_], **counts: Counts) -> None:
        """Add the counts of windows that were closed, each of shape (variables,).

        Args:
            hour: begin of the hour that they are in, ns.
            known: variables whose history was read.
        """
        totals = self._of(hour)
        for name, values in counts.items():
            totals[:, FIELD[name]] += values
        self._known[hour] |= known

    def again(self, hour: int, *, missing: Counts, filled: Counts) -> None:
        """Add what came of windows that were closed before: Kafka had lost some of their values.

        What was produced and received is counted already; an hour that is closed stays as it is.
        """
        if hour in self._hours:
            totals = self._hours[hour]
            totals[:, FIELD["missing"]] += missing
            totals[:, FIELD["received"]] -= missing
            totals[:, FIELD["filled"]] += filled

    def after(self, indices: NDArray[np.int64], times: NDArray[np.int64], late: Counts) -> int:
        """Count records of windows that are closed: repeats, or too late to be told from them.

        Args:
            indices, times, late: of shape (n,); late is 0 or 1.
        Returns:
            How many of them are of hours that are closed, too, and so are in no total.
        """
        hours = times - times % HOUR_NS
        left_out = 0
        for hour in np.unique(hours).tolist():
            which = hours == hour
            if hour not in self._hours:
                left_out += int(which.sum())
                continue
            totals = self._hours[hour]
            known = self._known[hour][indices[which]]
            # What a history holds was received or filled before; without one it may be the first.
            doubled = np.where(known, 1, 0)
            np.add.at(totals, (indices[which], FIELD["doubled"]), doubled)
            np.add.at(totals, (indices[which], FIELD["received"]), 1 - doubled)
            np.add.at(totals, (indices[which], FIELD["late"]), late[which] * (1 - doubled))
        return left_out

    def changed(self) -> list[Row]:
        """The totals that differ from what was told, hour by hour; they count as told now."""
        rows: list[Row] = []
        for hour in sorted(self._hours):
            totals, told = self._hours[hour], self._told[hour]
            changed = np.flatnonzero((totals != told).any(axis=1)).tolist()
            rows += [Row(place, hour, self._fields(hour, place)) for place in changed]
            told[:] = totals
        return rows

    def untold(self) -> None:
        """Have everything told anew."""
        for told in self._told.values():
            told[:] = -1

    def _fields(self, hour: int, index: int) -> dict[str, int]:
        values = self._hours[hour][index].tolist()
        fields = dict(zip(HISTORY_FIELDS, values, strict=True))
        if not self._known[hour][index]:
            for name in _OF_HISTORY:
                del fields[name]
        return fields

    def forget(self, before_ns: int) -> None:
        """Close the hours that end before `before_ns`; call it when their totals are told."""
        for hour in [hour for hour in self._hours if hour + HOUR_NS <= before_ns]:
            del self._hours[hour], self._told[hour], self._known[hour]

    def saved(self) -> dict[int, bytes]:
        """All hours as bytes, for `restored`."""
        return {
            hour: np.column_stack([totals, self._known[hour]]).astype("<i8").tobytes()
            for hour, totals in self._hours.items()
        }

    def restored(self, hours: Mapping[int, bytes], places: Sequence[int | None]) -> None:
        """Take totals that were saved.

        Args:
            places: for each variable at that time its index now, None if it is no more.
        Raises:
            ValueError: the bytes are not those of so many variables.
        """
        kept = [(old, new) for old, new in enumerate(places) if new is not None]
        rows, targets = [old for old, _ in kept], [new for _, new in kept]
        for hour, raw in hours.items():
            table = np.frombuffer(raw, "<i8").reshape(len(places), len(HISTORY_FIELDS) + 1)
            self._of(hour)[targets] = table[rows, :-1]
            self._known[hour][targets] = table[rows, -1] != 0
