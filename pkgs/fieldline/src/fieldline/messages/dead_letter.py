"""Dead letters: records that could not be used, kept as they came, with the reason in headers.

Key and value are the original's bytes, unchanged, so that a corrected reader can take them again.
"""

from __future__ import annotations

import msgspec

from fieldline.messages.headers import FORMAT_HEADERS, Headers

SUFFIX = ".dead-letter"


class DeadLetterOrigin(msgspec.Struct, frozen=True):
    """Why a record was refused and where it stands in its own topic."""

    reason: str
    topic: str
    partition: int
    offset: int


def dead_letter_headers(origin: DeadLetterOrigin) -> Headers:
    """The headers of a dead letter."""
    return [
        *FORMAT_HEADERS,
        ("fieldline-reason", origin.reason.encode()),
        ("fieldline-topic", origin.topic.encode()),
        ("fieldline-partition", str(origin.partition).encode()),
        ("fieldline-offset", str(origin.offset).encode()),
    ]


def read_origin(headers: Headers) -> DeadLetterOrigin:
    """The origin of a dead letter, from its headers.

    Raises:
        ValueError: a header is missing or is no number where one is due.
    """
    found = {name: value.decode() for name, value in headers if name.startswith("fieldline-")}
    try:
        return DeadLetterOrigin(
            found["fieldline-reason"],
            found["fieldline-topic"],
            int(found["fieldline-partition"]),
            int(found["fieldline-offset"]),
        )
    except KeyError as error:
        raise ValueError(f"no header {error}") from error
