"""Records of `opc.ledger` and `opc.refill`: what is where of each hour, and what to read again.

A record of `opc.ledger` has some counts of one variable's hour, as Telegraf reads it:

    {"name":"ledger","tags":{"asset":"Sensors","variable":"Temperature"},
     "fields":{"produced":18000,"received":17990},"timestamp":1700000000000000000}

Counts are totals of the hour, so that a record given again, or a later one, takes the place of the
one before in InfluxDB; fields of several services stand side by side there.
"""

from __future__ import annotations

import msgspec

MEASUREMENT = "ledger"
HOUR_NS = 3_600_000_000_000

# Values of the hour in the server's history; in Kafka, each source time once; in the history but
# not in Kafka; sent by the gap filler; in Kafka later than expected; in Kafka more than once.
HISTORY_FIELDS = ("produced", "received", "missing", "filled", "late", "doubled")
# Values of the hour in InfluxDB, each source time once; 1 where the hour is over and both sides
# have been counted since, else 0: from then on a count that nobody gave is none; values produced
# and not stored, once the hour is settled (docs/ledger.md).
STORE_FIELDS = ("stored", "settled", "lacking")


class LedgerTags(msgspec.Struct, frozen=True, gc=False):
    """The variable that is counted."""

    asset: str
    variable: str


class LedgerRecord(msgspec.Struct, frozen=True, gc=False):
    """Counts of one variable's hour.

    fields: of `HISTORY_FIELDS` or `STORE_FIELDS`. timestamp: the hour's begin, ns since 1970 UTC.
    """

    tags: LedgerTags
    fields: dict[str, int]
    timestamp: int
    name: str = MEASUREMENT


class Refill(msgspec.Struct, frozen=True, gc=False):
    """The wish that all values of [since, until) be read from the server's history and sent again.

    since, until: source times, ns since 1970 UTC.
    """

    asset: str
    variable: str
    since: int
    until: int


encode_ledger = msgspec.json.Encoder().encode
decode_ledger = msgspec.json.Decoder(LedgerRecord).decode
encode_refill = msgspec.json.Encoder().encode
decode_refill = msgspec.json.Decoder(Refill).decode


def hour_of(time_ns: int) -> int:
    """The begin of the hour that a source time is in, ns."""
    return time_ns - time_ns % HOUR_NS
