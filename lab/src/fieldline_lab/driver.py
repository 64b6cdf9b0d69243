"""The NixOS test driver's vocabulary, over lab hosts: a scenario runs unchanged on either.

What each method does, waits for and raises is what the driver's own does; where that one polls once
a second, this one polls faster.
"""

import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from .host import Host
from .lab import Lab
from .vocabulary import check_scenario

T = TypeVar("T")

# The driver's own default.
TIMEOUT = 900
POLL_SECONDS = 0.1
# What `timeout` says when it had to end a command; the driver gives it on.
TIMED_OUT = 124


class ScenarioError(Exception):
    """A scenario's expectation does not hold."""


def _quietly(text: str) -> None:
    """Say nothing."""


class Machine:
    """A host, in the driver's words."""

    def __init__(self, lab: Lab, host: Host, say: Callable[[str], None] = _quietly) -> None:
        self._lab = lab
        self._host = host
        self._say = say
        self.name = host.name

    # -- power and cable --------------------------------------------------------------------------

    def start(self) -> None:
        """Switch on, unless it is on."""
        self._say(f"{self.name}: starting")
        self._host.boot()

    def shutdown(self) -> None:
        """Switch off in an orderly way."""
        self._say(f"{self.name}: shutting down")
        self._host.shutdown()

    def crash(self) -> None:
        """Cut the power."""
        self._say(f"{self.name}: crashing")
        self._host.crash()

    def block(self) -> None:
        """Cut the host off altogether."""
        self._say(f"{self.name}: cut off")
        self._host.block()

    def unblock(self) -> None:
        """Undo `block`."""
        self._say(f"{self.name}: connected again")
        self._host.unblock()

    # -- commands ---------------------------------------------------------------------------------

    def execute(
        self, command: str, check_return: bool = True, timeout: int | None = TIMEOUT
    ) -> tuple[int, str]:
        """Run a shell command; its exit status and standard output. Switches the host on first."""
        status, output, _ = self._run(command, timeout)
        return (status if check_return else -1), output

    def _run(self, command: str, timeout: float | None) -> tuple[int, str, str]:
        # As the driver, which starts a machine when it is first talked to.
        if not self._host.running:
            self.start()
        argv = ["bash", "-c", f"set -euo pipefail; {command}"]
        try:
            done = self._host.exec(argv, timeout=timeout)
        except subprocess.TimeoutExpired as error:
            return TIMED_OUT, _text(error.output), _text(error.stderr)
        return done.returncode, done.stdout, done.stderr

    def succeed(self, *commands: str, timeout: int | None = None) -> str:
        """Run commands that must succeed; their output together."""
        outputs = []
        for command in commands:
            self._say(f"{self.name}: must succeed: {command}")
            status, output, errors = self._run(command, timeout)
            if status:
                raise ScenarioError(self._failed(command, f"failed ({status})", output, errors))
            outputs.append(output)
        return "".join(outputs)

    def fail(self, *commands: str, timeout: int | None = None) -> str:
        """Run commands that must fail; their output together."""
        outputs = []
        for command in commands:
            self._say(f"{self.name}: must fail: {command}")
            status, output, errors = self._run(command, timeout)
            if not status:
                raise ScenarioError(self._failed(command, "unexpectedly succeeded", output, errors))
            outputs.append(output)
        return "".join(outputs)

    def wait_until_succeeds(self, command: str, timeout: int = TIMEOUT) -> str:
        """Repeat a command until it succeeds; its output then."""
        return self._until(command, timeout, wanted=True)

    def wait_until_fails(self, command: str, timeout: int = TIMEOUT) -> str:
        """Repeat a command until it fails; its output then."""
        return self._until(command, timeout, wanted=False)

    def _until(self, command: str, timeout: int, *, wanted: bool) -> str:
        self._say(f"{self.name}: waiting for {'success' if wanted else 'failure'}: {command}")
        last = ("", "")

        def check() -> str | None:
            status, output, errors = self._run(command, timeout)
            nonlocal last
            last = (output, errors)
            return output if (status == 0) is wanted else None

        what = "succeeded" if wanted else "failed"
        return self._retry(check, timeout, lambda: self._failed(command, f"never {what}", *last))

    def _failed(self, command: str, what: str, output: str, errors: str) -> str:
        text = f"{self.name}: command `{command}` {what}"
        for name, content in (("output", output), ("errors", errors)):
            if content.strip():
                text += f"\n{name}: {content.strip()[-4000:]}"
        return text

    def _retry(self, check: Callable[[], T | None], timeout: int, why: Callable[[], str]) -> T:
        end = time.monotonic() + timeout
        while True:
            result = check()
            if result is not None:
                return result
            if time.monotonic() > end:
                raise ScenarioError(f"{why()} (waited {timeout} s)")
            time.sleep(POLL_SECONDS)

    # -- units, ports, files ----------------------------------------------------------------------

    def systemctl(self, q: str, user: str | None = None) -> tuple[int, str]:
        """Run systemctl; its exit status and output."""
        if user is not None:
            raise ScenarioError("lab hosts have no user managers")
        return self.execute(f"systemctl {q}")

    def wait_for_unit(self, unit: str, user: str | None = None, timeout: int = TIMEOUT) -> None:
        """Wait until a unit is active; an error at once if it has failed, or nothing starts it."""
        self._say(f"{self.name}: waiting for unit {unit}")
        name = unit if "." in unit else f"{unit}.service"

        last = ""

        def state() -> str:
            nonlocal last
            command = f"systemctl --no-pager show {shlex.quote(name)} -p ActiveState"
            status, output, errors = self._run(command, TIMEOUT)
            # A systemd that cannot answer, early in a boot, is waited for like the unit itself.
            last = f"systemctl ended with {status}: {errors.strip()}" if status else output.strip()
            return "" if status else output.strip().removeprefix("ActiveState=")

        def active() -> bool | None:
            now = state()
            if now == "failed":
                log = self._host.log(name, 20)
                raise ScenarioError(f'{self.name}: unit "{name}" reached state "failed"\n{log}')
            if now == "inactive":
                _, jobs = self.systemctl("list-jobs --full 2>&1")
                if "No jobs" in jobs and state() == "inactive":
                    raise ScenarioError(
                        f'{self.name}: unit "{name}" is inactive and there are no pending jobs'
                    )
            return True if now == "active" else None

        if user is not None:
            raise ScenarioError("lab hosts have no user managers")
        self._retry(active, timeout, lambda: f'{self.name}: unit "{name}": {last}')

    def wait_for_open_port(
        self, port: int, addr: str = "localhost", timeout: int = TIMEOUT
    ) -> None:
        """Wait until something listens on a TCP port, as seen from the host."""
        self._say(f"{self.name}: waiting for port {port} on {addr}")
        target = shlex.quote(f"/dev/tcp/{addr}/{port}")
        command = f"timeout 5 bash -c {shlex.quote(f'exec 3<>{target}')} 2>/dev/null"
        self._retry(
            lambda: True if self._run(command, timeout)[0] == 0 else None,
            timeout,
            lambda: f"{self.name}: nothing listens on {addr} port {port}",
        )

    def wait_for_file(self, filename: str, timeout: int = TIMEOUT) -> None:
        """Wait until a file exists."""
        self._say(f"{self.name}: waiting for the file {filename}")
        command = f"test -e {shlex.quote(filename)}"
        self._retry(
            lambda: True if self._run(command, timeout)[0] == 0 else None,
            timeout,
            lambda: f"{self.name}: there is no file {filename}",
        )


def _text(value: str | bytes | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""


def python_name(host: str) -> str:
    """A host's name as a variable of a scenario."""
    return host.replace("-", "_")


def scenario_globals(lab: Lab, say: Callable[[str], None] = print) -> dict[str, Any]:
    """What a scenario finds: a machine per host, `start_all` and `subtest`."""
    machines = {name: Machine(lab, host, say) for name, host in lab.hosts.items()}

    def start_all() -> None:
        """Switch all hosts on, together."""
        say("starting all hosts")
        for host in lab.hosts.values():
            host.launch()
        for host in lab.hosts.values():
            host.wait_for_commands()

    @contextmanager
    def subtest(name: str) -> Iterator[None]:
        """A named part of a scenario."""
        began = time.monotonic()
        say(f"subtest: {name}")
        try:
            yield
        except Exception as error:
            error.add_note(f"in the subtest: {name}")
            raise
        say(f"subtest: {name}: passed after {time.monotonic() - began:.1f} s")

    names: dict[str, Any] = {python_name(name): machine for name, machine in machines.items()}
    return {**names, "start_all": start_all, "subtest": subtest, "__name__": "__main__"}


def run_scenario(
    path: Path, lab: Lab, *, say: Callable[[str], None] = print, prelude: Path | None = None
) -> None:
    """Run a scenario as the NixOS driver would: all hosts off and without data at its start.

    The file `prelude.py` beside it is set before it. The text must keep to the vocabulary that both
    drivers have. Afterwards the hosts are as the scenario left them.
    """
    prelude = prelude or path.with_name("prelude.py")
    files = [file for file in (prelude, path) if file.exists()]
    for file in files:
        check_scenario(file, list(lab.hosts), prelude=file == prelude)
    lab.up([], fresh=True)
    environment = scenario_globals(lab, say)
    for file in files:
        # One text in the driver; compiled apart here, so that an error shows the file and line.
        exec(compile(file.read_text(), os.fspath(file), "exec"), environment)
