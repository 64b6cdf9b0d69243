"""Running one build command so that nothing of it outlives us."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

TICK_SECONDS = 0.5
GRACE_SECONDS = 5.0

# Becomes the command, and leaves beside it, in the same process group, a watchdog that kills the
# group when its input ends: when the process that holds the other end of the pipe is gone. No
# handler can do this for a process that gets SIGKILL, and a cargo left behind would compile for
# minutes in a folder that the next run removes. The watchdog comes first, so that there is no
# moment without it, and by a double fork, so that the command has no child it does not know.
_GUARDED = """
exec 3<&0 </dev/null
( { read -r _ <&3; kill -s KILL -- "-$$"; } >/dev/null 2>&1 & )
exec "$@" 3<&-
"""


def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    log: Path,
    on_tick: Callable[[], None],
) -> int:
    """Run `argv`, appending its output to `log`; its exit status (128 + n for signal n).

    127 if there is no such command. `on_tick` is called about every half second and once at the
    end. When it raises, or Ctrl-C comes in, the command and all its children are killed before the
    exception goes on. They are killed as well when this process is killed itself.
    """
    with log.open("ab") as output:
        child = subprocess.Popen(
            ["/bin/sh", "-c", _GUARDED, "sh", *argv],
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            # A session of its own: the terminal's Ctrl-C comes to us alone, and we end the group.
            start_new_session=True,
        )
    try:
        while True:
            try:
                status = child.wait(TICK_SECONDS)
                break
            except subprocess.TimeoutExpired:
                on_tick()
        on_tick()
        return status if status >= 0 else 128 - status
    finally:
        _end_group(child)
        if child.stdin is not None:
            child.stdin.close()


def _end_group(child: "subprocess.Popen[bytes]") -> None:
    """End what is left of the child's group: politely, then not."""
    if child.returncode is None:
        _signal_group(child.pid, signal.SIGTERM)
        try:
            child.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            pass
    # Also after a normal end: the watchdog is still there, and a build must not leave a helper
    # behind that writes into the part.
    _signal_group(child.pid, signal.SIGKILL)
    child.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        pass
