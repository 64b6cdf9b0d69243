"""Running the machine's own programs."""

import os
import signal
import subprocess
from collections.abc import Sequence

from fieldline.errors import FieldlineError

from .lock import held_descriptors


def run(
    argv: Sequence[str], *, stdin: str = "", what_to_do: str = "", check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a short command of the machine; its output as text.

    The command inherits the lab's lock: if this process is killed, the next one waits until the
    command has ended too, and so never works beside it.
    """
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            pass_fds=held_descriptors(),
        )
    except FileNotFoundError as error:
        raise FieldlineError(
            f"`{argv[0]}` is not on this machine. See `fieldline lab up` for the packages needed.",
            str(error),
        ) from error
    if check and done.returncode:
        raise FieldlineError(
            what_to_do or f"`{argv[0]}` failed.",
            f"{' '.join(argv)} ended with {done.returncode}: {done.stderr.strip()}",
        )
    return done


def communicate(
    argv: Sequence[str], *, stdin: str | None = None, timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command and all its children; none of them outlives a timeout or an exception."""
    child = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        stdout, stderr = child.communicate(stdin, timeout)
    except BaseException:
        # The group, not the child alone: nsenter forks to get into the process namespace.
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        child.communicate()
        raise
    return subprocess.CompletedProcess(list(argv), child.returncode, stdout, stderr)
