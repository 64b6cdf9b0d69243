"""What to ask for again: values that Kafka had and InfluxDB lacks.

They come through Kafka again, from the server's history. An interval is asked for a few times, each
time after a longer pause, and then given up: the history has not got it, or InfluxDB refuses it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from fieldline.ledger import Ints

# Pauses after each time that something was asked for, s: a server's history is read in seconds,
# behind other requests in minutes, and a PLC that is switched off may be back in an hour.
PAUSES = (120.0, 600.0, 3600.0)
# Values asked for at once and not there yet: half a minute of a plant of 10,000 variables at 1 Hz.
MOST_VALUES = 500_000
# Variables in one round: for each the minutes that lack something are looked for.
MOST_VARIABLES = 200

MINUTES = 60
# A sampled variable has a value more or less in one minute than in another.
_UNEVEN = 1


class Key(NamedTuple):
    """A variable's hour: its begin, ns, and the variable's index."""

    hour: int
    variable: int


@dataclass(slots=True)
class Case:
    """Values of one variable's hour that InfluxDB lacks.

    Attributes:
        lacking: how many. asked: how often. values: as many as were asked for last.
        next_at: when it may be asked for again, s of a monotonic clock.
        given_up: nothing more is asked for.
    """

    lacking: int
    asked: int = 0
    values: int = 0
    next_at: float = 0.0
    given_up: bool = False


@dataclass(slots=True)
class Refills:
    """Remembers what was asked for.

    Args:
        most_values, most_variables: see the constants.
    """

    most_values: int = MOST_VALUES
    most_variables: int = MOST_VARIABLES
    cases: dict[Key, Case] = field(default_factory=dict)

    def found(self, hour: int, lacking: Ints) -> int:
        """Take what an hour lacks, shape (variables,).

        Returns:
            How many values are there again that had been asked for.
        """
        back = 0
        for key in [key for key in self.cases if key.hour == hour]:
            case = self.cases[key]
            left = int(lacking[key.variable])
            if case.asked:
                back += max(0, case.lacking - left)
            if left == 0:
                del self.cases[key]
                continue
            if left != case.lacking:
                # Something moves: it is worth to go on asking.
                case.asked, case.given_up = min(case.asked, 1), False
            case.lacking = left
        for index in np.flatnonzero(lacking).tolist():
            self.cases.setdefault(Key(hour, index), Case(int(lacking[index])))
        return back

    def forget(self, before: int) -> None:
        """Drop the hours that begin before `before`, ns."""
        for key in [key for key in self.cases if key.hour < before]:
            del self.cases[key]

    def give_up(self, now: float) -> list[Key]:
        """What was asked for often enough by now; each once."""
        ended = [
            key
            for key, case in self.cases.items()
            if not case.given_up and case.asked >= len(PAUSES) and case.next_at <= now
        ]
        for key in ended:
            self.cases[key].given_up = True
        return ended

    def due(self, now: float) -> list[Key]:
        """What may be asked for now, the oldest hours first: a history forgets those first."""
        ready = [
            key for key, case in self.cases.items() if not case.given_up and case.next_at <= now
        ]
        return sorted(ready)[: self.most_variables]

    def room(self, now: float) -> int:
        """How many values may be asked for now."""
        under_way = sum(
            case.values for case in self.cases.values() if case.asked and case.next_at > now
        )
        return self.most_values - under_way

    def asked(self, key: Key, values: int, now: float) -> None:
        """Note that so many values were asked for."""
        case = self.cases[key]
        case.next_at = now + PAUSES[min(case.asked, len(PAUSES) - 1)]
        case.asked += 1
        case.values = values

    def waiting(self) -> Iterable[int]:
        """The hours of which something is still expected."""
        return {key.hour for key, case in self.cases.items() if case.asked and not case.given_up}


def narrow(minutes: Ints, lacking: int) -> tuple[int, int]:
    """Which minutes of an hour to ask for: [first, last).

    Minutes with fewer values than the fullest one lack something, as long as that explains all that
    is lacking. Empty ones at the hour's begin and end are looked at last: a server may have started
    or stopped there, and an hour that goes on has its end before it. Where nothing explains it, the
    hour is asked for as a whole.

    Args:
        minutes: values of each minute, shape (60,).
    """
    missing = minutes.max() - minutes
    short = missing > _UNEVEN
    inner = short.copy()
    filled = np.flatnonzero(minutes)
    if len(filled):
        inner[: filled[0]] = inner[filled[-1] :] = False
    for which in (inner, short):
        if missing[which].sum() >= lacking:
            places = np.flatnonzero(which)
            return int(places[0]), int(places[-1]) + 1
    return 0, MINUTES
