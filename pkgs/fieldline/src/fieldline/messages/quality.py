"""OPC UA quality: from Telegraf's text to the status code and its severity.

Source: OPC UA Part 4, 7.39 StatusCode (bits 31 and 30 are the severity). Telegraf writes the code
as gopcua prints it: text, symbolic name and code in brackets where gopcua knows the whole code,
`The operation succeeded. StatusGood (0x0)`, else the code alone, `0x480`.
"""

from __future__ import annotations

import re
from enum import IntEnum

_CODE = re.compile(r"(?:^|\()0[xX]([0-9A-Fa-f]{1,8})(?:\)|$)")


class Severity(IntEnum):
    """The two highest bits of a status code; 3 is reserved and read as bad."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2


def severity(code: int) -> Severity:
    """The severity of a 32-bit status code."""
    return Severity(min(code >> 30, Severity.BAD))


# A plant shows a handful of texts, millions of times; the limit keeps a sender of ever new texts
# from filling the memory.
_KNOWN_TEXTS = 1024
_known: dict[str, int | None] = {}


def quality_code(text: str) -> int | None:
    """The status code (32 bits) in Telegraf's quality text; None where there is none."""
    try:
        return _known[text]
    except KeyError:
        found = None
        # The code stands at the end; texts are short, so a long one is not worth a search.
        for match in _CODE.finditer(text[-200:]):
            found = match
        code = int(found.group(1), 16) if found else None
        if len(_known) >= _KNOWN_TEXTS:
            _known.clear()
        _known[text] = code
        return code
