"""Ending a lab, whatever happens to the command that does it."""

import os
import pty
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fieldline_lab import lab, sweep
from fieldline_lab.names import LabNames
from fieldline_lab.plan import Plan
from fieldline_lab.programs import Programs
from fieldline_lab.progress import Progress


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabNames:
    monkeypatch.setattr("fieldline_lab.names.RUNTIME_ROOT", tmp_path / "run")
    found = LabNames.of(tmp_path, tmp_path / "site.toml")
    (found.state / "secrets").mkdir(parents=True)
    return found


def test_ctrl_c_while_the_hosts_stop_still_purges(
    names: LabNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: LabNames) -> list[str]:
        raise KeyboardInterrupt

    def interrupt(_: LabNames) -> None:
        # A second one, while everything is removed.
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(sweep, "power_off", interrupted)
    monkeypatch.setattr(sweep, "destroy", interrupt)
    with pytest.raises(KeyboardInterrupt):
        lab.down(names, purge=True)
    assert not names.state.exists()


def test_without_purge_the_data_stay(names: LabNames, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "destroy", lambda _: None)
    assert not lab.down(names)
    assert names.state.exists()
    assert lab.down(names, purge=True)
    assert not names.state.exists()


@pytest.mark.parametrize("threads", [0, 1])
def test_signals_wait_for_the_end_of_the_block(threads: int) -> None:
    """Also where another thread, as that of a live line, could be given them."""
    done = threading.Event()
    others = [threading.Thread(target=done.wait) for _ in range(threads)]
    for other in others:
        other.start()
    steps = []

    def interrupted() -> None:
        with sweep.undisturbed():
            with sweep.undisturbed():
                os.kill(os.getpid(), signal.SIGINT)
                # Another thread takes it whenever it runs.
                time.sleep(0.1)
                steps.append("inner")
            steps.append("outer")
        steps.append("after")

    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
    finally:
        done.set()
    assert steps == ["inner", "outer"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.parametrize("live", [True, False])
def test_a_terminal_that_is_gone_stops_nothing(monkeypatch: pytest.MonkeyPatch, live: bool) -> None:
    monkeypatch.setenv("TERM", "xterm")
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        progress = Progress()
        if live:
            progress.__enter__()
        os.close(leader)
        with pytest.raises(OSError, match="Input/output error"):
            os.write(follower, b"x")
        progress.note("note")
        progress.now("now")
        progress.__exit__()
        monkeypatch.undo()
        with pytest.raises(OSError, match="Input/output error"):
            terminal.close()


def test_a_closed_pipe_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rich on its own would exit."""
    reader, writer = os.pipe()
    os.close(reader)
    file = os.fdopen(writer, "w", buffering=1)
    monkeypatch.setattr("sys.stderr", file)
    with Progress() as progress:
        progress.note("note")
        progress.now("now")
    monkeypatch.undo()
    with pytest.raises(BrokenPipeError):
        file.close()


@pytest.mark.parametrize("on", [["db"], []], ids=["hosts", "the network alone"])
def test_ctrl_c_just_after_the_start_leaves_nothing(
    names: LabNames, monkeypatch: pytest.MonkeyPatch, on: list[str]
) -> None:
    """The moment when the hosts are recorded and the lock is being let go of."""
    raw = {"hosts": {}, "network": {"gateway": "192.168.0.1", "prefix": 24}}
    one = lab.Lab(Plan(names, raw, Programs({}, {})))
    undone: list[list[str]] = []

    @contextmanager
    def held(_: object) -> Iterator[None]:
        yield
        raise KeyboardInterrupt

    def start(_wanted: object, complete: Callable[[list[str]], None], **_: bool) -> list[str]:
        complete(on)
        return []

    monkeypatch.setattr(one.lock, "hold", held)
    monkeypatch.setattr(one, "_start", start)
    monkeypatch.setattr(one, "_undo", undone.append)
    with pytest.raises(KeyboardInterrupt):
        one.up(on)
    assert undone == [on]


def test_ctrl_c_before_anything_is_on_undoes_nothing_twice(
    names: LabNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = {"hosts": {}, "network": {"gateway": "192.168.0.1", "prefix": 24}}
    one = lab.Lab(Plan(names, raw, Programs({}, {})))
    destroyed: list[LabNames] = []

    def interrupted(*_: object, **__: bool) -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(one, "_start", interrupted)
    monkeypatch.setattr(one, "_undo", lambda _: pytest.fail("this lab was never on"))
    monkeypatch.setattr(sweep, "destroy", destroyed.append)
    with pytest.raises(KeyboardInterrupt):
        one.up()
    assert destroyed == [names]
