"""What the builds of the parts do. Each is a function of the workshop it is given."""

import shutil
from pathlib import Path

from . import environment
from .cache import sha256
from .errors import PartError
from .model import Workshop

SOPS = "github.com/getsops/sops/v3"
TELEGRAF = "github.com/influxdata/telegraf"
INFLUXDB = "github.com/influxdata/influxdb/v2"
PKG_CONFIG = "github.com/influxdata/pkg-config"

# libflux turns compiler warnings into errors, and newer compilers have new warnings. It is a
# dependency of a build script too, where RUSTFLAGS does not reach it.
_RUSTC_WRAPPER = """#!/bin/sh
exec "$@" --cap-lints=allow
"""

# pkg-config runs `cargo build` and keeps what it prints to itself. This puts it into our log, where
# it is counted, and holds cargo to the Cargo.lock that came with the module.
_CARGO_WRAPPER = """#!/bin/sh
exec cargo "$@" --locked >>"$FIELDLINE_LOG" 2>&1
"""

# A third of the time that the crates' own release profiles take; 70 files still cost only
# milliseconds.
_QUICK = {
    "CARGO_PROFILE_RELEASE_OPT_LEVEL": "0",
    "CARGO_PROFILE_RELEASE_LTO": "off",
    "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16",
    "CARGO_PROFILE_RELEASE_STRIP": "true",
}


def kafka(shop: Workshop) -> None:
    """The jars of the pom into `libs`, each one checked against SHA256SUMS."""
    libs = shop.out / "libs"
    shop.run(
        [
            "mvn",
            "--batch-mode",
            "--strict-checksums",
            # Maven remembers a failed download for a day; the next run must try again.
            "--update-snapshots",
            "-Dstyle.color=never",
            f"-Dmaven.repo.local={shop.scratch / 'maven'}",
            # In full: the prefix `dependency` would be looked up in the registry.
            "org.apache.maven.plugins:maven-dependency-plugin:copy-dependencies",
            "-DincludeScope=runtime",
            f"-DoutputDirectory={libs}",
        ],
        phase="fetching jars",
    )
    check_sums(libs, (shop.work / "SHA256SUMS").read_text(), shop.recipe.title)


def check_sums(folder: Path, sums: str, title: str) -> None:
    """PartError unless `folder` holds exactly the files of `sums` (the format of sha256sum)."""
    expected = {}
    for line in sums.splitlines():
        digest, _, file = line.partition("  ")
        expected[file] = digest
    found = {path.name: sha256(path) for path in folder.iterdir()}
    wrong = [
        f"{file}: "
        + (
            "is missing"
            if file not in found
            else "is not pinned"
            if file not in expected
            else f"sha256 {found[file]}, not {expected[file]}"
        )
        for file in sorted(expected.keys() | found.keys())
        if found.get(file) != expected.get(file)
    ]
    if wrong:
        raise PartError(
            f"{title}: what came from the package registry is not what this checkout pins. Do not"
            " use it: try another network (a proxy may have changed it), and report it if it"
            " stays. After a change of version, renew SHA256SUMS as lab/parts/README.md says.",
            "\n".join(wrong),
        )


def sops(shop: Workshop) -> None:
    """`bin/sops`."""
    _go_build(
        shop,
        f"{SOPS}/cmd/sops",
        shop.out / "bin" / "sops",
        phase="compiling sops",
        ldflags="-s -w",
        # Nothing in it needs C.
        env={**_go(shop), "CGO_ENABLED": "0"},
    )


def telegraf(shop: Workshop) -> None:
    """`bin/telegraf` with the plugins of tags.txt."""
    _go_build(
        shop,
        f"{TELEGRAF}/cmd/telegraf",
        shop.out / "bin" / "telegraf",
        phase="compiling Telegraf",
        ldflags=f"-s -w -X {TELEGRAF}/internal.Version={shop.recipe.version}",
        # None of the chosen plugins needs C, and a static program runs in any lab host.
        env={**_go(shop), "CGO_ENABLED": "0"},
    )


def influxdb(shop: Workshop) -> None:
    """`bin/influxd`, with the Flux library that InfluxData's own pkg-config builds by cargo."""
    tools = shop.work / "tools"
    pkg_config = tools / "pkg-config"
    _go_build(
        shop, PKG_CONFIG, pkg_config, phase="compiling pkg-config", ldflags="-s -w", env=_go(shop)
    )
    _go_build(
        shop,
        f"{INFLUXDB}/cmd/influxd",
        shop.out / "bin" / "influxd",
        phase="compiling InfluxDB and Flux",
        ldflags=f"-s -w -X main.version=v{shop.recipe.version}",
        env={
            **_go(shop),
            **environment.cargo(shop.scratch),
            "CGO_ENABLED": "1",
            "PKG_CONFIG": str(pkg_config),
            "CARGO": str(_script(tools / "cargo", _CARGO_WRAPPER)),
            "RUSTC_WRAPPER": str(_script(tools / "rustc-wrapper", _RUSTC_WRAPPER)),
            "FIELDLINE_LOG": str(shop.log),
        },
    )


def crate(shop: Workshop) -> None:
    """`bin/NAME` of the crate in SHA256SUMS, its dependencies by the Cargo.lock inside the crate.

    The lock file names a checksum for each of them, so that one sum here pins them all.
    """
    sums = (shop.work / "SHA256SUMS").read_text()
    file = sums.split()[-1]
    crate_name = file.removesuffix(f"-{shop.recipe.version}.crate")
    target = {"CARGO_TARGET_DIR": str(shop.scratch / "target")}
    env = {**environment.cargo(shop.scratch), **_QUICK, **target}
    # Fetches the crate and compiles nothing: a wrong one is found before it can run a build script.
    # `cargo fetch` cannot do it: it wants a project.
    argv = ["cargo", "info", "--quiet", f"{crate_name}@{shop.recipe.version}"]
    shop.run(argv, phase="fetching the crate", env=env)
    fetched = shop.work / "crate"
    fetched.mkdir()
    for place in (shop.scratch / "cargo" / "registry" / "cache").glob(f"*/{file}"):
        shutil.copyfile(place, fetched / file)
    check_sums(fetched, sums, shop.recipe.title)
    shop.run(
        [
            *("cargo", "install", crate_name, "--version", f"={shop.recipe.version}"),
            *("--locked", "--no-track", "--root", str(shop.out)),
            *("--no-default-features", "--features", ",".join(shop.recipe.tags)),
        ],
        phase=f"compiling {shop.recipe.name}",
        env=env,
    )


def _go(shop: Workshop) -> dict[str, str]:
    temporary = shop.work / "tmp"
    temporary.mkdir(exist_ok=True)
    return environment.go(shop.scratch, temporary)


def _go_build(
    shop: Workshop, package: str, program: Path, *, phase: str, ldflags: str, env: dict[str, str]
) -> None:
    tags = ",".join(shop.recipe.tags)
    shop.run(
        ["go", "build", "-v", "-tags", tags, "-ldflags", ldflags, "-o", str(program), package],
        phase=phase,
        env=env,
    )


def _script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path
