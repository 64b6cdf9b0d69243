"""The counts of one hour, a column for each variable, and what follows from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fieldline.messages.ledger import HISTORY_FIELDS, STORE_FIELDS

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

FIELDS = (*HISTORY_FIELDS, *STORE_FIELDS)
# A count that nobody has given.
UNKNOWN = -1

_ROW = {name: row for row, name in enumerate(FIELDS)}


class Counts:
    """One hour.

    Attributes:
        table: shape (len(FIELDS), variables), int64; `UNKNOWN` where nothing was given.
    """

    def __init__(self, variables: int) -> None:
        self.table = np.full((len(FIELDS), variables), UNKNOWN, np.int64)

    def of(self, field: str) -> Ints:
        """A field's counts, shape (variables,); writing into it changes the hour."""
        row: Ints = self.table[_ROW[field]]
        return row

    def known(self, field: str) -> Ints:
        """A field's counts with 0 where nothing was given; shape (variables,)."""
        return np.maximum(self.of(field), 0)

    @property
    def settled(self) -> Bools:
        """Of which variables both sides have been counted after the hour was over."""
        settled: Bools = self.of("settled") == 1
        return settled

    def lacking(self) -> Ints:
        """Values that were produced and are not stored; 0 where the hour is not settled.

        The field of this name is what the service made of it, for those who can't compute it.
        """
        short = np.maximum(self.known("produced") - self.known("stored"), 0)
        return np.where(self.settled, short, 0)

    def complete(self) -> Bools:
        """The variables of which everything is known to be stored."""
        complete: Bools = self.settled & (self.lacking() == 0)
        return complete

    def total(self, field: str, where: Bools | None = None) -> int:
        """The sum of what is known of a field, of some variables or of all."""
        known = self.known(field)
        return int(known.sum() if where is None else known[where].sum())
