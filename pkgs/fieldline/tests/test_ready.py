"""`fieldline ready`: no start on a full disk, and no waiting for a server that has ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from fieldline.provision import ready
from fieldline.provision.ready import app, wait_for_room, while_it_runs
from fieldline.service import EXIT_UNAVAILABLE, ServiceError
from typer.testing import CliRunner

MIB = 1 << 20


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many MiB are free, look after look; the last one stays."""
    looks: list[int] = []

    def statvfs(_path: Path) -> SimpleNamespace:
        return SimpleNamespace(f_bavail=looks.pop(0) if len(looks) > 1 else looks[0], f_frsize=MIB)

    monkeypatch.setattr(ready.os, "statvfs", statvfs)
    monkeypatch.setattr(ready.time, "sleep", lambda _seconds: None)
    return looks


def test_a_disk_with_room_is_not_waited_for(tmp_path: Path, free: list[int]) -> None:
    free.append(256)
    wait_for_room(tmp_path, 256, 0.0, lambda *_: pytest.fail("waits"))


def test_room_is_waited_for(tmp_path: Path, free: list[int]) -> None:
    free += [0, 255, 256]
    causes: list[str] = []
    wait_for_room(tmp_path, 256, 60.0, lambda _passed, cause: causes.append(cause))
    assert causes == ["0 MiB are free, 256 are needed", "255 MiB are free, 256 are needed"]


def test_a_disk_that_stays_full_is_an_error_that_says_what_to_do(
    tmp_path: Path, free: list[int]
) -> None:
    free.append(3)
    with pytest.raises(ServiceError, match="make room") as caught:
        wait_for_room(tmp_path, 256, 0.0, lambda *_: None)
    assert caught.value.code == EXIT_UNAVAILABLE
    assert "3 MiB are free, 256 are needed" in caught.value.cause


def test_a_folder_that_is_not_there_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="nowhere is none"):
        wait_for_room(tmp_path / "nowhere", 1, 60.0, lambda *_: pytest.fail("waits"))


def test_the_command_looks_at_the_real_disk(tmp_path: Path) -> None:
    status = os.statvfs(tmp_path)
    free = status.f_bavail * status.f_frsize // MIB
    runner = CliRunner()
    path = ["disk", "--path", str(tmp_path)]
    assert runner.invoke(app, [*path, "--free-mib", "1"]).exit_code == 0
    done = runner.invoke(app, [*path, "--free-mib", str(free + 10**6), "--timeout", "1ms"])
    assert isinstance(done.exception, ServiceError)


def test_a_server_that_has_ended_is_waited_for_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as server:
        monkeypatch.setenv("MAINPID", str(server.pid))
        waiting = while_it_runs("Kafka", 60.0)
        waiting(0.1, "refused")
    with pytest.raises(ServiceError, match="Kafka ended before it answered") as caught:
        waiting(0.2, "refused")
    assert (caught.value.code, caught.value.cause) == (EXIT_UNAVAILABLE, "refused")


def test_whose_process_nobody_has_named_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAINPID", raising=False)
    while_it_runs("Kafka", 60.0)(0.1, "refused")


def test_a_start_waits_for_nothing_that_only_others_need() -> None:
    heavy = {"aiokafka", "numpy", "pydantic", "structlog", "urllib3"}
    code = f"""
import sys
from fieldline.provision import ready
loaded = {heavy} & set(sys.modules)
sys.exit(f"loaded: {{loaded}}" if loaded else 0)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
