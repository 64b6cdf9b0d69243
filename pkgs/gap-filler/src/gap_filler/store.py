"""Where a server's windows are closed up to, and the totals and the trail of it, in one file.

Together, so that a window is either in both or in neither: totals stay right over restarts.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import structlog
from fieldline.messages.ledger import HOUR_NS, hour_of

from gap_filler.arrivals import WINDOW_NS
from gap_filler.feed import Feed
from gap_filler.plan import ServerPlan
from gap_filler.trail import Step, Trail

_DAY_NS = 86_400_000_000_000


class _Saved(msgspec.Struct):
    position_ns: int
    variables: list[str]
    hours: dict[int, bytes]
    counted_ns: int = 0
    trail: list[Step] = []
    format: int = 1


class Store:
    """One file per server in the service's state directory.

    Attributes:
        fresh: no position was found, so the history's own begin has to be looked for.
    """

    def __init__(
        self, directory: Path, plan: ServerPlan, log: structlog.stdlib.BoundLogger
    ) -> None:
        self._path = directory / f"{plan.name}.state"
        self._plan = plan
        self._log = log
        self._saved: _Saved | None = self._read()
        self._failed = False
        self.fresh = self._saved is None

    def _read(self) -> _Saved | None:
        try:
            saved = msgspec.msgpack.decode(self._path.read_bytes(), type=_Saved)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, OSError) as error:
            self._log.warning(
                "the position is lost; it begins where history and topic do",
                server=self._plan.name,
                cause=str(error),
            )
            return None
        return saved if saved.format == 1 else None

    def position_ns(self, now_ns: int) -> int:
        """Where to begin: what was kept, or as far back as is worth it."""
        if self._saved is None or self._saved.position_ns > now_ns + _DAY_NS:
            begin = now_ns - self._plan.fresh_lookback_ns
            # Whole hours: the totals of a part would replace those of the hour.
            return hour_of(begin) + HOUR_NS if now_ns - begin > HOUR_NS else hour_of(now_ns)
        # Not cut off here: what is given up is said where the server's clock is known.
        return self._saved.position_ns // WINDOW_NS * WINDOW_NS

    def restore(self, feed: Feed) -> None:
        """Give a feed the totals of its open hours, and its trail."""
        if self._saved is None:
            return
        feed.counted_ns = max(feed.counted_ns, self._saved.counted_ns)
        if self._saved.trail:
            feed.trail = Trail(self._saved.trail)
        places = {variable.key: place for place, variable in enumerate(self._plan.variables)}
        try:
            feed.tally.restored(
                self._saved.hours, [places.get(name) for name in self._saved.variables]
            )
        except ValueError as error:
            self._log.warning(
                "the ledger's totals are lost", server=self._plan.name, cause=str(error)
            )
        self._saved = None

    def save(self, feed: Feed) -> None:
        """Keep a feed's position and totals; a failing disk is said once, and tried again."""
        saved = _Saved(
            feed.arrivals.position_ns,
            [variable.key for variable in self._plan.variables],
            feed.tally.saved(),
            feed.counted_ns,
            feed.trail.steps,
        )
        beside = self._path.with_suffix(".new")
        try:
            with beside.open("wb") as file:
                file.write(msgspec.msgpack.encode(saved))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
        except OSError as error:
            if not self._failed:
                self._log.error(
                    "the position cannot be kept", path=str(self._path), cause=str(error)
                )
            self._failed = True
        else:
            self._failed = False
