"""What has to be in InfluxDB: the one place to change when the path of a value changes."""

from __future__ import annotations

import numpy as np

from fieldline.influx import is_usable
from fieldline.verify.points import Bools, Points


def is_required(recorded: Points) -> Bools:
    """Which recorded values have to be stored; shape (points,).

    - A value with a Bad status is not: Telegraf may deliver it without a value, or drop it. If it
      is stored, its quality must be the record's.
    - One that is no finite number is not: neither JSON nor InfluxDB's line protocol can carry it.
    """
    return is_usable(recorded.status) & np.isfinite(recorded.value)


def is_input(stored: Points) -> Bools:
    """Which stored values a model uses: Good or Uncertain, with a value; shape (points,)."""
    return is_usable(stored.status) & np.isfinite(stored.value)


# Relative difference up to which a result counts as equal: a mean of n values and the n-th root of
# their product differ by a few units in the last place (2.2e-16) with the order of the operations.
TOLERANCE = 1e-12
