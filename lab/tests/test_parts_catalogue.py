"""The pins of the real parts, the command, and how progress is told. No network, no compiler."""

import hashlib
import io
import json
import re
from pathlib import Path

import pytest
from fieldline_lab.parts import ALL, TOOLS, Part, PartError, read_catalogue
from fieldline_lab.parts import __main__ as command
from fieldline_lab.parts.catalogue import RECIPES
from fieldline_lab.parts.progress import Lines, Live, duration, expected
from fieldline_lab.parts.recipes import check_sums
from rich.console import Console

CATALOGUE = read_catalogue()


def test_every_part_has_a_version_and_its_files() -> None:
    assert tuple(CATALOGUE) == ALL + TOOLS
    for recipe in CATALOGUE.values():
        assert re.fullmatch(r"\d+\.\d+\.\d+", recipe.version)
        assert recipe.directory.startswith(f"{recipe.name}-{recipe.version}-")
        on_disk = {path.name for path in recipe.folder.iterdir()}
        assert on_disk == set(recipe.files)


def test_every_go_module_has_a_checksum() -> None:
    for name in ("telegraf", "influxdb"):
        sums = (RECIPES / name / "go.sum").read_text()
        assert f"{'influxdata/' + name}" in sums
        assert CATALOGUE[name].version in sums
    sums = (RECIPES / "sops" / "go.sum").read_text()
    assert f"github.com/getsops/sops/v3 v{CATALOGUE['sops'].version} h1:" in sums


def test_tags_keep_the_plugins_that_lib_uses() -> None:
    assert {"custom", "inputs.opcua_listener", "parsers.json_v2", "secretstores.systemd"} <= set(
        CATALOGUE["telegraf"].tags
    )
    assert not any("#" in tag or " " in tag for tag in CATALOGUE["telegraf"].tags)


def test_kafka_sums_are_whole() -> None:
    lines = (RECIPES / "kafka/SHA256SUMS").read_text().splitlines()
    files = [line.partition("  ")[2] for line in lines]
    assert all(re.fullmatch(r"[0-9a-f]{64}  [\w.-]+\.jar", line) for line in lines)
    assert files == sorted(set(files))
    version = CATALOGUE["kafka"].version
    for jar in ("kafka_2.13", "kafka-server", "kafka-tools", "connect-mirror"):
        assert f"{jar}-{version}.jar" in files
    log4j = re.search(r"<log4j\.version>(.+?)<", (RECIPES / "kafka/pom.xml").read_text())
    assert log4j is not None
    assert f"log4j-slf4j-impl-{log4j[1]}.jar" in files


def test_a_crate_is_pinned_by_its_sum_alone() -> None:
    for name in TOOLS:
        [line] = (RECIPES / name / "SHA256SUMS").read_text().splitlines()
        assert re.fullmatch(r"[0-9a-f]{64}  \w+-[\d.]+\.crate", line)


def test_no_pin_carries_an_address() -> None:
    for recipe in CATALOGUE.values():
        for file in recipe.files:
            text = (recipe.folder / file).read_text()
            assert not re.search(r"\b(https?|git|ssh)://", text)
            assert not re.search(r"proxy\.golang|maven\.org|crates\.io|/root/|/home/", text)


def test_jars_are_held_against_their_sums(tmp_path: Path) -> None:
    (tmp_path / "a.jar").write_text("a")
    good = f"{hashlib.sha256(b'a').hexdigest()}  a.jar\n"
    check_sums(tmp_path, good, "Kafka")
    with pytest.raises(PartError, match="not what this checkout pins") as error:
        check_sums(tmp_path, good.replace(good[:4], "0000"), "Kafka")
    assert error.value.cause.startswith("a.jar: sha256 ")
    with pytest.raises(PartError, match=r"b\.jar: is missing"):
        check_sums(tmp_path, good + f"{'0' * 64}  b.jar\n", "Kafka")
    (tmp_path / "c.jar").write_text("c")
    with pytest.raises(PartError, match=r"c\.jar: is not pinned"):
        check_sums(tmp_path, good, "Kafka")


def test_lines_are_told_about_every_15_seconds() -> None:
    now = 0.0
    stream = io.StringIO()
    lines = Lines(stream, clock=lambda: now)
    lines.begin("kafka", "making kafka 4.1.0", (10, 30))
    for _ in range(80):
        now += 0.5
        lines.step("kafka", "fetching jars", now / 40)
    lines.note("kafka", "a note")
    lines.end("kafka", "ready")
    assert stream.getvalue().splitlines() == [
        "kafka: making kafka 4.1.0, usually 10 s to 30 s",
        "kafka: fetching jars, 38%, 15 s",
        "kafka: fetching jars, 75%, 30 s",
        "kafka: a note",
        "kafka: ready after 40 s",
    ]


def test_the_live_display_draws_nothing_without_a_build() -> None:
    stream = io.StringIO()
    with Live(Console(file=stream, force_terminal=True)):
        pass
    assert stream.getvalue() == ""


def test_the_live_display_names_part_phase_and_time() -> None:
    stream = io.StringIO()
    with Live(Console(file=stream, force_terminal=True, width=120)) as live:
        live.begin("influxdb", "making influxdb 2.7.12", (240, 480))
        live.step("influxdb", "compiling [x/y]", 0.5)
        live.note("influxdb", "a note")
    text = stream.getvalue()
    for wanted in ("influxdb", "compiling [x/y]", "50%", "usually 4 min to 8 min", "a note"):
        assert wanted in text


def test_durations() -> None:
    assert duration(42.4) == "42 s"
    assert duration(185) == "3 min 05 s"
    assert expected((70, 180)) == "usually 70 s to 3 min"
    assert expected((10, 10)) == "usually 10 s"


def test_the_command_prints_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    part = Part("widget", "1.2.3", Path("/parts/w"), "cache", Path("/parts/w/bin/widget"))
    monkeypatch.setattr(command, "obtain", lambda *_, **__: {"widget": part})
    assert command.main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "widget": {
            "version": "1.2.3",
            "origin": "cache",
            "directory": str(part.directory),
            "executable": str(part.executable),
        }
    }
    assert command.main([]) == 0
    assert capsys.readouterr().out.split() == ["widget", "1.2.3", "cache", str(part.directory)]
    assert command.main(["--path"]) == 0
    assert capsys.readouterr().out == "/parts/w/bin\n"


def test_the_command_fails_with_the_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PartError("Do this.", "because")

    monkeypatch.setattr(command, "obtain", refuse)
    assert command.main(["--offline"]) == 1
    assert capsys.readouterr().err == "Do this.\n\nCause:\n  because\n"
