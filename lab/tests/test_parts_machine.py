"""What the machine brings along: programs on PATH, tools of a build, settings."""

import os
from pathlib import Path

import pytest
from fieldline_lab.parts import (
    Cache,
    Part,
    PartError,
    Recipe,
    Silent,
    Tool,
    Workshop,
    environment,
    obtain,
    onpath,
)


def no_build(_: Workshop) -> None:
    pytest.fail("this part must not be built")


def recipe(folder: Path, *tools: Tool) -> Recipe:
    return Recipe(
        name="telegraf",
        version="1.2.3",
        folder=folder,
        files=(),
        build=no_build,
        executable="bin/telegraf",
        tools=tools,
        on_path=onpath.telegraf,
    )


def program(path: Path, answer: str) -> Path:
    """A program that prints `answer`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{answer}'\n")
    path.chmod(0o755)
    path.parent.chmod(0o755)
    return path


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that a lab host would see, as it sees /usr."""
    folder = tmp_path / "usr"
    folder.mkdir()
    folder.chmod(0o755)
    monkeypatch.setattr(onpath, "VISIBLE", (folder,))
    return folder


def test_a_program_on_path_is_used_instead(tmp_path: Path, prefix: Path) -> None:
    found = program(prefix / "bin/telegraf", "Telegraf 1.2.3 (git: HEAD@cafe)")
    cache = Cache(tmp_path / "cache")
    parts = obtain(
        ["telegraf"],
        reporter=Silent(),
        offline=True,
        cache=cache,
        catalogue={"telegraf": recipe(tmp_path)},
        search_path=str(found.parent),
    )
    assert parts == {"telegraf": Part("telegraf", "1.2.3", prefix, "path", found)}
    assert not cache.root.exists()


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("Telegraf 1.2.3", True),
        ("Telegraf v1.2.3 (git: none)", True),
        ("Telegraf 1.2.4 (git: HEAD@cafe)", False),
        ("Telegraf 1.2.30", False),
        ("Telegraf 1.2.3-rc1", False),
        ("Telegraf unknown", False),
        ("something else", False),
    ],
)
def test_only_the_exact_version_counts(
    tmp_path: Path, prefix: Path, answer: str, right: bool
) -> None:
    found = program(prefix / "bin/telegraf", answer)
    assert onpath.telegraf(recipe(tmp_path), str(found.parent)) == (prefix if right else None)


def test_influxd_tells_its_version_otherwise(tmp_path: Path, prefix: Path) -> None:
    found = program(prefix / "bin/influxd", "InfluxDB v1.2.3 (git: none) build_date: x")
    assert onpath.influxd(recipe(tmp_path), str(found.parent)) == prefix


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("nixfmt-rs 1.2.3", True),
        ("nixfmt-rs 1.2.4", False),
        (f"nixfmt {onpath.NIXFMT_EQUAL}", True),
        ("nixfmt 1.2.3", False),
        ("nixfmt 0.6.0", False),
    ],
)
def test_a_nixfmt_counts_that_formats_alike(tmp_path: Path, answer: str, right: bool) -> None:
    """In any folder: no lab host calls it."""
    found = program(tmp_path / "home/bin/nixfmt", answer)
    expected = tmp_path / "home" if right else None
    assert onpath.nixfmt(recipe(tmp_path), str(found.parent)) == expected


def test_a_deadnix_on_path_is_used(tmp_path: Path) -> None:
    found = program(tmp_path / "bin/deadnix", "deadnix 1.2.3")
    assert onpath.deadnix(recipe(tmp_path), str(found.parent)) == tmp_path
    program(found, "deadnix 1.2.4")
    assert onpath.deadnix(recipe(tmp_path), str(found.parent)) is None


def test_a_link_leads_to_the_real_folder(tmp_path: Path, prefix: Path) -> None:
    found = program(prefix / "store/bin/telegraf", "Telegraf 1.2.3")
    (prefix / "store").chmod(0o755)
    profile = tmp_path / "profile"
    profile.mkdir()
    (profile / "telegraf").symlink_to(found)
    assert onpath.telegraf(recipe(tmp_path), str(profile)) == prefix / "store"


def test_what_a_lab_host_cannot_read_is_not_used(tmp_path: Path, prefix: Path) -> None:
    elsewhere = program(tmp_path / "home/bin/telegraf", "Telegraf 1.2.3")
    assert onpath.telegraf(recipe(tmp_path), str(elsewhere.parent)) is None
    found = program(prefix / "bin/telegraf", "Telegraf 1.2.3")
    found.chmod(0o700)
    assert onpath.telegraf(recipe(tmp_path), str(found.parent)) is None
    found.chmod(0o755)
    found.parent.chmod(0o700)
    assert onpath.telegraf(recipe(tmp_path), str(found.parent)) is None


@pytest.mark.parametrize("version", ["1.2.3", "1.2.2"])
def test_kafka_is_known_by_its_jar(tmp_path: Path, prefix: Path, version: str) -> None:
    script = program(prefix / "bin/kafka-server-start.sh", "")
    (prefix / "libs").mkdir()
    (prefix / "libs").chmod(0o755)
    jar = prefix / f"libs/kafka_2.13-{version}.jar"
    jar.touch()
    jar.chmod(0o644)
    found = onpath.kafka(recipe(tmp_path), str(script.parent))
    assert found == (prefix if version == "1.2.3" else None)


def test_missing_tools_are_named_with_their_packages(tmp_path: Path) -> None:
    tools = (Tool("no-such-go", "golang-go"), Tool("sh", "dash"), Tool("no-such-mvn", "maven"))
    with pytest.raises(PartError) as error:
        obtain(
            ["telegraf"],
            reporter=Silent(),
            cache=Cache(tmp_path / "cache"),
            catalogue={"telegraf": recipe(tmp_path, *tools)},
            search_path="",
        )
    assert "apt-get install golang-go maven" in error.value.what_to_do
    assert error.value.cause.splitlines() == [
        "no no-such-go on PATH, needed for telegraf",
        "no no-such-mvn on PATH, needed for telegraf",
    ]


def test_an_outdated_tool_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin/old-go", "go version go1.19.8 linux/amd64")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    old = Tool("old-go", "golang-go", (1, 21), remark="See backports.")
    with pytest.raises(PartError, match=r"version 1\.19, and 1\.21 or newer.*See backports"):
        environment.check_tools([recipe(tmp_path, old)])
    environment.check_tools([recipe(tmp_path, Tool("old-go", "golang-go", (1, 19)))])


def test_settings_for_other_work_do_not_reach_a_build() -> None:
    given = environment.ambient(
        {
            "PATH": "/usr/bin",
            "https_proxy": "x",
            "GOPROXY": "x",
            "GOFLAGS": "-mod=mod",
            "RUSTC_WRAPPER": "sccache",
            "CARGO_TARGET_DIR": "/x",
            "CFLAGS": "-m32",
            "PYTHONPATH": "/x",
        }
    )
    assert given == {"PATH": "/usr/bin", "https_proxy": "x", "GOPROXY": "x", "LC_ALL": "C.UTF-8"}


def test_cargo_knows_the_mirror_of_the_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "config.toml").write_text("[source]\n")
    monkeypatch.setenv("CARGO_HOME", str(theirs))
    home = Path(environment.cargo(tmp_path / "scratch")["CARGO_HOME"])
    assert home != theirs
    assert (home / "config.toml").read_text() == "[source]\n"
