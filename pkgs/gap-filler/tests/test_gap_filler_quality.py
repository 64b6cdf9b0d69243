"""Status codes as gopcua prints them; the whole list is held against Telegraf in kafka/."""

from __future__ import annotations

import pytest
from fieldline.messages.quality import quality_code
from gap_filler.quality import quality_text


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0, "The operation succeeded. StatusGood (0x0)"),
        (0x480, "0x480"),
        (
            0x80340000,
            (
                "The node id refers to a node that does not exist in the server address space."
                " StatusBadNodeIDUnknown (0x80340000)"
            ),
        ),
        # Younger than gopcua's table.
        (0x80EE0000, "0x80EE0000"),
        (
            0x80520000,
            (
                "The semaphore file specified by the client is not valid."
                " StatusBadSempahoreFileMissing (0x80520000)"
            ),
        ),
    ],
)
def test_text(code: int, text: str) -> None:
    assert quality_text(code) == text
    assert quality_code(text) == code
