"""The errors that commands and services end with: what to do first, then the raw cause."""

from __future__ import annotations

EXIT_OK = 0
# sysexits(3): systemd is told not to restart on EXIT_CONFIGURATION (RestartPreventExitStatus=78),
# since a wrong declaration does not mend itself; EXIT_UNAVAILABLE is worth another try.
EXIT_CONFIGURATION = 78
EXIT_UNAVAILABLE = 69


class FieldlineError(Exception):
    """An error that a person can act on.

    Args:
        what_to_do: one or two sentences for the reader, without a stack trace.
        cause: the raw cause as the failing part gave it, or an empty text.
    """

    def __init__(self, what_to_do: str, cause: str = "") -> None:
        super().__init__(what_to_do, cause)
        self.what_to_do = what_to_do
        self.cause = cause

    def __str__(self) -> str:
        return f"{self.what_to_do}\n  cause: {self.cause}" if self.cause else self.what_to_do


class ServiceError(FieldlineError):
    """A reason for which a service ends; `code` is its exit code."""

    def __init__(self, what_to_do: str, cause: str = "", *, code: int = EXIT_UNAVAILABLE) -> None:
        super().__init__(what_to_do, cause)
        self.code = code
