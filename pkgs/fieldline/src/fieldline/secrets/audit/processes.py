"""Secrets in arguments, environments and the journal, where others would see them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from fieldline.errors import FieldlineError
from fieldline.secrets.audit.model import Finding, Needles, Result

PROC = Path("/proc")
_PIECE = 4 << 20


def search_processes(needles: Needles, result: Result, proc: Path = PROC) -> None:
    """Look into the arguments and the environment of every process."""
    for folder in sorted(proc.glob("[0-9]*")):
        try:
            name = (folder / "comm").read_text().strip()
            texts = {
                "arguments": (folder / "cmdline").read_bytes(),
                "environment": (folder / "environ").read_bytes(),
            }
        except OSError:
            # It has ended meanwhile, or is the kernel's own.
            continue
        result.processes += 1
        for kind, data in texts.items():
            for secret in needles.found_in(data):
                where = f"process {folder.name} ({name})"
                result.findings.append(Finding(secret, where, f"in its {kind}"))


def search_journal(needles: Needles, result: Result, say: Callable[[str], None]) -> None:
    """Look into every entry of the journal, with all its fields.

    Raises:
        FieldlineError: it cannot be read.
    """
    argv = ["journalctl", "--no-pager", "--all", "--output=export"]
    try:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError as error:
        raise FieldlineError("Run this on a host with systemd's journal.", str(error)) from None
    total = 0
    found: set[str] = set()
    rest = b""
    assert process.stdout is not None
    with process:
        while piece := process.stdout.read(_PIECE):
            total += len(piece)
            data = rest + piece
            found |= needles.found_in(data)
            # A value may lie across two pieces.
            rest = data[-needles.longest :] if needles.longest else b""
            say(f"searching the journal, {total >> 20} MiB")
    # Without any entry it ends with 1, so that its exit code says nothing.
    result.journal_bytes = total
    result.findings += [Finding(name, "the journal", "a plain value") for name in sorted(found)]
