"""Kafka headers that all our records share."""

from __future__ import annotations

# Names and raw values; Kafka allows a name more than once. A list, since aiokafka takes no other.
Headers = list[tuple[str, bytes]]

FORMAT_HEADER = "fieldline-format"
# The version of every record that we produce. It rises when a reader of the older version could
# misunderstand a record; a new field alone is no reason, readers skip what they do not know.
FORMAT = b"1"
FORMAT_HEADERS: Headers = [(FORMAT_HEADER, FORMAT)]
