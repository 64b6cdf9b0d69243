"""The one exception of this package, and what a build's log says about why a build failed."""

import re
from pathlib import Path

from fieldline.errors import FieldlineError

LOG_LINES = 15

DISK_FULL = "The disk is full. Free some space, or set XDG_CACHE_HOME to a folder on a larger disk."

# What the tools print, and what a person can do about it. The order matters: a registry that cannot
# be reached often makes a checksum look missing too.
_KNOWN = {
    r"No space left on device|ENOSPC|Disk quota exceeded": DISK_FULL,
    r"SECURITY ERROR|checksum mismatch|failed to verify the checksum|Checksum validation failed"
    r"|checksum for .* changed": (
        "What came from the package registry is not what this checkout pins. Do not use it: try"
        " another network (a proxy may have changed it), and report it if it stays."
    ),
    r"no such host|Temporary failure in name resolution|Could not resolve host|Unknown host"
    r"|Name or service not known|network is unreachable|No route to host|dial tcp"
    r"|Connection refused|Could not connect|Connection timed out|TLS handshake timeout"
    r"|Could not transfer|transfer failed|failed to transfer|Unresolved address"
    r"|module lookup disabled by GOPROXY=off": (
        "The package registry cannot be reached. Connect this machine to the network (or set"
        " HTTPS_PROXY, GOPROXY) and run it again: what is already fetched is kept."
    ),
}
_UNKNOWN = (
    "The build failed; the cause is below. After a change of the compiler, look for a newer version"
    " of the part; otherwise run it again."
)


class PartError(FieldlineError):
    """A part cannot be had. Its text has the cause in lines of its own, and names a build's log."""

    def __init__(self, what_to_do: str, cause: str = "", log: Path | None = None) -> None:
        super().__init__(what_to_do, cause)
        self.log = log

    def __str__(self) -> str:
        text = self.what_to_do
        if self.cause:
            text += "\n\nCause:\n" + "\n".join(f"  {line}" for line in self.cause.splitlines())
        if self.log is not None:
            text += f"\n\nThe whole log: {self.log}"
        return text


def failed_build(part: str, command: str, status: int, log: Path) -> PartError:
    """The error for a build step that ended with `status`, explained from the end of its log."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    # 200 lines: a resolver prints its cause first and then what depended on it.
    recent = "\n".join(lines[-200:])
    known = (todo for line, todo in _KNOWN.items() if re.search(line, recent, re.IGNORECASE))
    todo = next(known, _UNKNOWN)
    cause = "\n".join([f"{command} ended with status {status}:", *lines[-LOG_LINES:]])
    return PartError(f"{part} could not be built. {todo}", cause, log)
