"""What is prepared without root: the declaration, programs, packages, the plan."""

import json
import os
import stat
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from fieldline.errors import FieldlineError
from fieldline.evaluate import evaluate
from fieldline_lab import cds, commands, packages, plan, programs
from fieldline_lab.declaration import parse
from fieldline_lab.names import LabNames
from fieldline_lab.plan import Plan
from fieldline_lab.programs import Programs

RAW: dict[str, Any] = {
    "network": {"gateway": "192.168.0.1", "prefix": 24, "device": "enp0s3"},
    "hosts": {
        "db": {
            "address": "192.168.0.10",
            "prefix": 24,
            "units": {
                "influxdb2": {
                    "description": "InfluxDB",
                    "command": {"program": "influxd", "arguments": ["--x", 5]},
                    "wantedBy": ["multi-user.target"],
                },
                "grafana": {
                    "description": "Grafana",
                    "command": {"program": "grafana", "arguments": ["server"]},
                    "wantedBy": ["multi-user.target"],
                },
            },
        }
    },
}


def test_a_declaration_is_typed() -> None:
    unit = parse(RAW).hosts["db"].units["influxdb2"]
    assert unit.full_name == "influxdb2.service"
    assert unit.command.arguments == ("--x", "5")


@pytest.mark.parametrize("key", ["network", "hosts"])
def test_another_form_of_declaration_is_refused(key: str) -> None:
    with pytest.raises(FieldlineError, match="another form"):
        parse({k: v for k, v in RAW.items() if k != key})


def test_evaluation_of_a_path_with_special_characters(tmp_path: Path) -> None:
    folder = tmp_path / 'a b"$ {c'
    (folder / "lib").mkdir(parents=True)
    (folder / "lib" / "default.nix").write_text(
        "{ site }: { lab = builtins.fromTOML (builtins.readFile site); }"
    )
    (folder / "site.toml").write_text("a = 1\n")
    assert evaluate(folder / "lib", folder / "site.toml") == {"a": 1}


def test_a_refused_site_is_told_by_the_reader_that_knows_lines(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "default.nix").write_text('{ site }: throw "no"')
    (tmp_path / "site.toml").write_text("schema = 1\nextra = 2\n")
    with pytest.raises(FieldlineError, match="extra"):
        evaluate(tmp_path / "lib", tmp_path / "site.toml")
    with pytest.raises(FieldlineError, match="no site file"):
        evaluate(tmp_path / "lib", tmp_path / "none.toml")


def test_units_without_their_program_are_left_out_and_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    omitted = programs.missing_optional(["grafana", "influxd"])
    assert omitted == ["grafana"]
    raw, why = plan._without_missing(RAW, parse(RAW))
    assert raw["hosts"]["db"]["units"].keys() == {"influxdb2"}
    assert why == {"db/grafana": "no `grafana` on this machine's PATH"}
    # What was given is as it was.
    assert "grafana" in RAW["hosts"]["db"]["units"]


def test_programs_of_parts() -> None:
    assert programs.needed_parts(["kafka-server", "kafka-storage", "influxd", "fieldline"]) == [
        "influxdb",
        "kafka",
    ]


def test_wrappers(tmp_path: Path) -> None:
    info = tmp_path / "packages" / "thing-1.dist-info"
    info.mkdir(parents=True)
    (info / "entry_points.txt").write_text(
        "[console_scripts]\nthing = thing.cli:main\nUpper = thing:Class.run\n\n[other]\nx = y\n"
    )
    parts = {"telegraf": Path("/cache/telegraf")}
    built = programs.build(["telegraf"], tmp_path / "packages", tmp_path / "venv", parts)
    assert built.scripts.keys() == {"thing", "Upper", "telegraf"}
    assert "from thing import Class\n" in built.scripts["Upper"]
    assert "sys.exit(Class.run())" in built.scripts["Upper"]
    assert built.binds["/cache/telegraf"] == "/opt/fieldline/parts/telegraf"
    assert built.path("thing") == "/opt/fieldline/bin/thing"
    assert built.path("/usr/bin/sleep") == "/usr/bin/sleep"
    # systemd's own, on every host.
    assert built.path("systemctl") == "/usr/bin/systemctl"
    with pytest.raises(FieldlineError, match="'unknown', which no package"):
        built.path("unknown")


def test_kafkas_wrapper_splits_its_options(tmp_path: Path) -> None:
    built = programs.build([], tmp_path, tmp_path, {"kafka": Path("/cache/kafka")})
    text = built.scripts["kafka-server"].replace("exec ", "exec echo ")
    assert programs.KAFKA_CLASSES in text
    done = subprocess.run(
        ["sh", "-c", text, "kafka-server", "/etc/server properties"],
        env={"KAFKA_OPTS": "-Xmx1m -Da=b"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.endswith(
        "-Xmx1m -Da=b -cp /opt/fieldline/parts/kafka/libs/* kafka.Kafka /etc/server properties\n"
    )


def _package(folder: Path, name: str, text: str) -> None:
    source = folder / "pkgs" / name / "src" / name
    source.mkdir(parents=True, exist_ok=True)
    (source / "__init__.py").write_text(text)
    (folder / "pkgs" / name / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        f'[project]\nname = "{name}"\nversion = "1"\n'
        f'[project.scripts]\n{name} = "{name}:main"\n'
        f'[tool.hatch.build.targets.wheel]\npackages = ["src/{name}"]\n'
    )


def test_packages_are_installed_once_per_state_of_their_sources(tmp_path: Path) -> None:
    notes: list[str] = []
    _package(tmp_path, "one", "def main():\n    return 3\n")
    first = packages.prepare(tmp_path, notes.append)
    assert packages.prepare(tmp_path, notes.append) == first
    assert [note for note in notes if note.startswith("installing")] == ["installing one"]
    assert packages.console_scripts(first.directory) == {"one": "one:main"}
    # Services run as other users; and they cannot compile what they see read-only.
    for path in first.directory.rglob("*"):
        assert path.stat().st_mode & stat.S_IROTH
    assert [*first.directory.glob("one/__pycache__/*.pyc")]
    # A third party's package is one more folder.
    _package(tmp_path, "two", "")
    second = packages.prepare(tmp_path, notes.append)
    assert second.directory != first.directory
    assert packages.console_scripts(second.directory).keys() == {"one", "two"}
    # Tests do not count.
    (tmp_path / "pkgs" / "one" / "tests").mkdir()
    (tmp_path / "pkgs" / "one" / "tests" / "test_one.py").write_text("")
    assert packages.prepare(tmp_path, notes.append) == second


def test_packages_that_a_lab_runs_on_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "RUNTIME_ROOT", tmp_path / "run")
    monkeypatch.setattr(packages, "KEPT", 1)
    cache = tmp_path / "cache"
    for age, name in enumerate(["newest", "middle", "oldest"]):
        (cache / name).mkdir(parents=True)
        os.utime(cache / name, (1000 - age, 1000 - age))
    (tmp_path / "run" / "abc").mkdir(parents=True)
    binds = {str(cache / "oldest"): "/opt/fieldline/packages"}
    (tmp_path / "run" / "abc" / "plan.json").write_text(json.dumps({"binds": binds}))
    packages._remove_old(cache)
    assert {path.name for path in cache.iterdir()} == {"newest", "oldest"}


def test_hosts_complete_from_the_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "default.nix").touch()
    (tmp_path / "site.toml").write_text("[hosts.db]\n[hosts.collector]\n[hosts.core]\n")
    monkeypatch.chdir(tmp_path)
    context = SimpleNamespace(params={"site": None, "name": "default"})
    assert commands._complete_host(context, "c") == ["collector", "core"]  # type: ignore[arg-type]
    (tmp_path / "site.toml").write_text("broken")
    assert commands._complete_host(context, "") == []  # type: ignore[arg-type]


def test_a_package_that_cannot_be_built_is_told(tmp_path: Path) -> None:
    _package(tmp_path, "one", "")
    (tmp_path / "pkgs" / "one" / "pyproject.toml").write_text("[project]\nname = 3\n")
    with pytest.raises(FieldlineError, match="cannot be installed"):
        packages.prepare(tmp_path, [].append)
    assert [*(tmp_path / ".lab" / ".packages").iterdir()] == []


def test_a_python_that_hosts_cannot_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "pyvenv.cfg").touch()
    (tmp_path / "bin" / "python").symlink_to("/home/user/.pyenv/bin/python3")
    monkeypatch.setattr(packages.sys, "prefix", str(tmp_path))
    with pytest.raises(FieldlineError, match="/usr/bin/python3 -m venv"):
        packages.environment()
    (tmp_path / "bin" / "python").unlink()
    (tmp_path / "bin" / "python").symlink_to("/usr/bin/python3")
    tmp_path.chmod(0o755)
    assert packages.environment() == tmp_path
    tmp_path.chmod(0o750)
    with pytest.raises(FieldlineError, match=r"chmod -R o\+rX"):
        packages.environment()
    (tmp_path / "pyvenv.cfg").unlink()
    with pytest.raises(FieldlineError, match="virtual environment"):
        packages.environment()


def _plan(tmp_path: Path, raw: dict[str, Any] = RAW) -> Plan:
    names = LabNames.of(tmp_path, tmp_path / "site.toml")
    return Plan(names, raw, Programs({"a": "b"}, {"c": "d"}), {}, {"db": {"influxdb": 8086}})


def test_a_plan_goes_through_a_file(tmp_path: Path) -> None:
    before = _plan(tmp_path)
    before.save(tmp_path / "plan.json")
    after = Plan.load(tmp_path / "plan.json")
    assert after == before
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(FieldlineError, match="no plan"):
        Plan.load(tmp_path / "plan.json")


def test_a_fingerprint_is_of_all_that_the_host_is_made_of(tmp_path: Path) -> None:
    before = _plan(tmp_path).fingerprint("db")
    assert _plan(tmp_path).fingerprint("db") == before
    changed = json.loads(json.dumps(RAW))
    changed["hosts"]["db"]["address"] = "192.168.0.11"
    assert _plan(tmp_path, changed).fingerprint("db") != before
    # Another host is in /etc/hosts, and only its address matters.
    more = json.loads(json.dumps(RAW))
    more["hosts"]["opc"] = {"address": "192.168.0.5", "prefix": 24}
    with_opc = _plan(tmp_path, more).fingerprint("db")
    assert with_opc != before
    more["hosts"]["opc"]["files"] = {"/x": {"format": "text", "value": ""}}
    assert _plan(tmp_path, more).fingerprint("db") == with_opc


def test_recordings_are_found_by_their_pattern(tmp_path: Path) -> None:
    (tmp_path / "rec").mkdir()
    for name in ("press1", "press2"):
        (tmp_path / "rec" / f"{name}.csv").touch()
    source = {"kind": "replay", "file": "rec/{asset}.csv", "column": "x"}
    site = {"asset_types": {"press": {"variables": {"T": {"source": source}}}}}
    assert plan._recordings(tmp_path / "site.toml", site) == {
        str(tmp_path / "rec" / "press1.csv"): "/etc/fieldline/rec/press1.csv",
        str(tmp_path / "rec" / "press2.csv"): "/etc/fieldline/rec/press2.csv",
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_kafka_s_classes_belong_to_whom_the_work_tree_belongs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    raw = json.loads(json.dumps(RAW))
    raw["hosts"]["db"]["units"]["kafka"] = {
        "command": {"program": "kafka-server"},
        "preStart": [{"program": "fieldline"}, {"program": "kafka-storage"}],
    }
    scripts = []
    monkeypatch.setattr("fieldline_lab.names.RUNTIME_ROOT", tmp_path / "run")
    monkeypatch.setattr(programs, "kafka_key", lambda _: "key")
    root = SimpleNamespace(directory=tmp_path / "root")
    monkeypatch.setattr(cds.rootfs, "render", lambda *_: root)
    monkeypatch.setattr(cds, "bind_arguments", lambda _: [])
    monkeypatch.setattr(cds, "forget", lambda *_: None)
    monkeypatch.setattr(cds, "Cgroup", MagicMock())

    def run(argv: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        scripts.append(argv[-1])
        out = next(word for word in argv if word.startswith("--bind="))
        Path(out.removeprefix("--bind=").split(":")[0], "kafka.jsa").touch()
        return subprocess.CompletedProcess(argv, 0, "", "")

    monkeypatch.setattr(cds, "communicate", run)
    worktree = tmp_path / "worktree"
    (worktree / ".lab").mkdir(parents=True)
    os.chown(worktree, 65534, 65534)
    names = LabNames.of(worktree, worktree / "site.toml")
    cds.ensure(Plan(names, raw, Programs({}, {})), print)
    folder = worktree / ".lab" / ".java"
    assert [path.name for path in folder.iterdir()] == ["key.jsa"]
    assert folder.stat().st_uid == (folder / "key.jsa").stat().st_uid == 65534
    # The container is no host that is in use: nothing but Kafka's own programs can run there.
    assert "/bin/kafka-storage" in scripts[0]
    assert "/bin/fieldline" not in scripts[0]
