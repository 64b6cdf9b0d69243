"""When windows of source time are settled, and how many are looked at together."""

from __future__ import annotations

from dataclasses import dataclass

from fieldline.messages.ledger import hour_of

from gap_filler.arrivals import WINDOW_NS

# Values that one look takes on, so that neither memory nor the time of a step grows with the hole.
_SPAN_VALUES = 60_000
_LONGEST_NS = 600_000_000_000


@dataclass(frozen=True, slots=True)
class Moment:
    """What is known of a server's values at one moment.

    Attributes:
        server_ns: UTC as the server has it.
        newest_ns: newest source time in Kafka; None before the first.
        quiet_s: for how long nothing came, though Kafka and the server answered.
    """

    server_ns: int
    newest_ns: int | None
    quiet_s: float


def settled_ns(moment: Moment, settle_s: float, patience_s: float) -> int:
    """Up to when everything that comes by itself has come, as a window's begin.

    Telegraf delivers in order: newer values in Kafka mean that older ones are there or lost. While
    it catches up after a cut, the newest ones are old, and nothing of that time is settled; when
    nothing comes at all any more, nothing more will.
    """
    end = moment.server_ns - round(settle_s * 1e9)
    if moment.quiet_s < patience_s:
        end = min(end, moment.newest_ns or 0)
    return end - end % WINDOW_NS


def span_end_ns(position_ns: int, settled: int, rate: float) -> int:
    """The end of the span to look at next: within one hour, and no more values than fit.

    Args:
        rate: values a second.
    """
    longest = round(_SPAN_VALUES / max(rate, 1e-9) * 1e9)
    longest = max(WINDOW_NS, min(longest, _LONGEST_NS) // WINDOW_NS * WINDOW_NS)
    hour_end = hour_of(position_ns) + 3_600_000_000_000
    return min(position_ns + longest, settled, hour_end)
