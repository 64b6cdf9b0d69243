"""OPC UA status codes as the text that Telegraf puts into `Quality`.

Telegraf writes what gopcua 0.8.0 (ua/status_gen.go) prints: text, name and code where it knows the
whole code, else the code alone. Names and texts are OPC UA's own (Part 6, A.2), which asyncua has
too; what gopcua spells otherwise, or has from an older edition, is said here.
"""

from __future__ import annotations

import functools
import re

from asyncua.ua.status_codes import code_to_name_doc

# Words that Go writes in capitals.
_CAPITALS = {"Id": "ID", "Uri": "URI", "Url": "URL", "Tcp": "TCP"}
_WORD = re.compile(r"[A-Z][a-z]*")
# Codes that are younger than gopcua's table.
_YOUNGER = frozenset(
    {
        0x00EB0000,
        0x00EF0000,
        0x40F20000,
        0x40F30000,
        0x80EA0000,
        0x80EC0000,
        0x80ED0000,
        0x80EE0000,
        0x80F00000,
        0x80F10000,
    }
)
_OTHER_NAMES = {0x80520000: "StatusBadSempahoreFileMissing"}
_OTHER_TEXTS = {
    0x40950000: "The value is derived from multiple sources and has less than the required number"
    " of Good sources.",
    0x40A40000: "The value is derived from multiple values and has less than the required number of"
    " Good values.",
    0x80330000: "The syntax of the node id is not valid.",
    0x80830000: "The server does not recognize the QueryString specified.",
    0x80A10000: "The client requested history using a timestamp format the server does not support"
    " (i.e requested ServerTimestamp when server only supports SourceTimestamp).",
    0x80B90000: "The response message size exceeds limits set by the client.",
}


def _name(own: str) -> str:
    return "Status" + _WORD.sub(lambda word: _CAPITALS.get(word[0], word[0]), own)


def _text(code: int, own: str) -> str:
    # asyncua writes apostrophes as the quotes that Python needs.
    apostrophe = "’" if code == 0x04030000 else "'"
    return _OTHER_TEXTS.get(code, own.replace('"', apostrophe))


@functools.lru_cache(maxsize=1024)
def quality_text(code: int) -> str:
    """The text of a 32-bit status code."""
    known = code_to_name_doc.get(code)
    if known is None or code in _YOUNGER:
        return f"0x{code:X}"
    name = _OTHER_NAMES.get(code) or _name(known[0])
    return f"{_text(code, known[1])} {name} (0x{code:X})"
