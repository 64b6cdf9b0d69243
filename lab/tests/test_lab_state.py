"""What a lab keeps, its record, its lock."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from fieldline.errors import FieldlineError
from fieldline_lab.lock import LabLock, claim, held_descriptors, remove_unlocked
from fieldline_lab.state import UIDS, HostRecord, Record, Store, write


def test_uids_stay_when_users_come_and_go(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.uids("db", ["telegraf", "influxdb2"])
    assert len(set(first.values())) == 2
    assert all(uid in UIDS for uid in first.values())
    second = store.uids("db", ["apache-kafka", "telegraf"])
    assert second["telegraf"] == first["telegraf"]
    assert second["apache-kafka"] not in first.values()
    assert store.uids("db", ["influxdb2"])["influxdb2"] == first["influxdb2"]


def test_a_machine_id_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.machine_id("db") == Store(tmp_path).machine_id("db")
    assert store.machine_id("db") != store.machine_id("opc")
    assert len(store.machine_id("db")) == 32


def test_ports_are_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.port("db/influxdb") == 0
    store.keep_port("db/influxdb", 12345)
    store.keep_port("db/grafana", 12346)
    assert Store(tmp_path).port("db/influxdb") == 12345


def test_a_file_is_written_whole_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    write(path, "one", 0o600)
    write(path, "two", 0o400)
    assert path.read_text() == "two"
    assert path.stat().st_mode & 0o777 == 0o400
    assert [entry.name for entry in path.parent.iterdir()] == ["b"]


def test_a_record_comes_back_and_a_broken_one_is_none(tmp_path: Path) -> None:
    path = tmp_path / "lab.json"
    assert Record.load(path) is None
    record = Record(True, {"db": HostRecord("abc", 1.5, {"influxdb": 8086})})
    record.save(path)
    assert Record.load(path) == record
    for text in ("", "{", "[]", '{"complete": true}', '{"complete": 1, "hosts": {"a": {}}}'):
        path.write_text(text)
        assert Record.load(path) is None
    path.write_text(json.dumps({"complete": False, "hosts": {}}))
    assert Record.load(path) == Record(False)


def test_the_lock_is_between_processes(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import sys, pathlib, fieldline_lab.lock as l\n"
        "say = lambda who: print('waits for', who, flush=True)\n"
        "with l.LabLock(pathlib.Path(sys.argv[1])).hold(say):\n"
        "    print('has it', flush=True)\n"
    )
    lock = LabLock(path)
    with lock.hold():
        other = subprocess.Popen(
            [sys.executable, "-c", code, path],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert other.stdout is not None
        assert other.stdout.readline() == f"waits for process {os.getpid()}\n"
        # A child that was given the lock keeps it when its parent lets go.
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=held_descriptors())
    assert held_descriptors() == ()
    with pytest.raises(subprocess.TimeoutExpired):
        other.wait(0.3)
    child.communicate()
    assert other.stdout.readline() == "has it\n"
    assert other.wait() == 0
    other.stdout.close()


def test_a_lock_without_a_lab_goes_and_never_lets_two_in(tmp_path: Path) -> None:
    """Several processes take and remove one lock over and over; no count is lost."""
    path = tmp_path / "labs" / "id.lock"
    count = tmp_path / "count"
    count.write_text("0")
    code = (
        "import sys, pathlib, fieldline_lab.lock as l\n"
        "lock, count = l.LabLock(pathlib.Path(sys.argv[1])), pathlib.Path(sys.argv[2])\n"
        "for _ in range(200):\n"
        "    with lock.hold():\n"
        "        count.write_text(str(int(count.read_text()) + 1))\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, path, count],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for _ in range(4)
    ]
    assert [process.wait() for process in processes] == [0, 0, 0, 0]
    assert count.read_text() == "800"
    assert not path.parent.exists()


def test_the_lock_of_a_lab_that_is_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "id.lock"
    (tmp_path / "id").mkdir()
    with LabLock(path).hold():
        pass
    assert path.exists()


def test_a_thread_may_take_the_lock_twice_and_another_waits(tmp_path: Path) -> None:
    lock = LabLock(tmp_path / "lock")
    order: list[str] = []
    entered = threading.Event()

    def other() -> None:
        entered.set()
        with lock.hold():
            order.append("other")

    thread = threading.Thread(target=other)
    with lock.hold():
        with lock.hold():
            thread.start()
            entered.wait()
            order.append("inner")
        order.append("outer")
    thread.join()
    assert order == ["inner", "outer", "other"]
    assert held_descriptors() == ()


def test_the_lock_is_free_after_an_error(tmp_path: Path) -> None:
    lock = LabLock(tmp_path / "lock")
    with pytest.raises(ValueError, match="x"), lock.hold():
        raise ValueError("x")
    with LabLock(tmp_path / "lock").hold(lambda who: pytest.fail(f"held by {who}")):
        pass


def test_a_claim_is_one_process_s_and_no_child_s(tmp_path: Path) -> None:
    path = tmp_path / "labs" / "id.owner"
    code = (
        "import sys, pathlib, subprocess, fieldline_lab.lock as l\n"
        "with l.claim(pathlib.Path(sys.argv[1])):\n"
        "    subprocess.Popen(['sleep', '60'], close_fds=False)\n"
        "    print('has it', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        process_group=0,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "has it\n"
        with pytest.raises(FieldlineError) as refused, claim(path):
            pass
        assert str(refused.value) == (
            f"This lab is in use by another command: process {other.pid}."
            " End that one first, or take another --name."
        )
        remove_unlocked(path)
        assert path.exists()
        # It alone; its child lives on.
        other.kill()
        other.wait()
        with claim(path):
            assert held_descriptors() == ()
            remove_unlocked(path)
            assert path.exists()
        assert not path.parent.exists()
        os.killpg(other.pid, signal.SIGKILL)


def test_the_file_of_a_killed_owner_can_be_removed(tmp_path: Path) -> None:
    path = tmp_path / "id.owner"
    remove_unlocked(path)
    path.write_text("process 1\n")
    remove_unlocked(path)
    assert not path.exists()


def test_who_is_interrupted_while_taking_the_lock_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "labs" / "id.lock"
    with monkeypatch.context() as patch:
        patch.setattr("fieldline_lab.lock.os.ftruncate", interrupted)
        with pytest.raises(KeyboardInterrupt), LabLock(path).hold():
            pass
    assert not path.parent.exists()
