"""How many values of each hour are where: what the service `ledger` and `fieldline ledger` share.

The meaning of each count is in docs/ledger.md.
"""

from fieldline.ledger.counts import FIELDS, UNKNOWN, Counts, Ints

__all__ = ["FIELDS", "UNKNOWN", "Counts", "Ints"]
