"""What of a person's environment a build gets to see, and whether the tools it calls are there."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from .errors import PartError
from .model import Recipe, Tool

# How the network and the toolchains are reached is the person's to say. All else is ours: a
# GOFLAGS, CARGO_TARGET_DIR, RUSTC_WRAPPER or CFLAGS meant for other work would break a build or
# change what comes out of it.
_PASSED = re.compile(
    r"PATH|HOME|USER|LOGNAME"
    r"|(?i:https?_proxy|no_proxy|all_proxy)"
    r"|SSL_CERT_FILE|SSL_CERT_DIR|CURL_CA_BUNDLE|NIX_.*|NETRC"
    r"|GOPROXY|GOSUMDB|GONOSUMDB|GONOPROXY|GOPRIVATE|GOINSECURE|GOVCS|GOAUTH|GOTOOLCHAIN"
    r"|RUSTUP_.*|CARGO_HTTP_.*|CARGO_NET_.*|CARGO_REGISTRIES_.*|CARGO_SOURCE_.*"
    r"|JAVA_HOME|MAVEN_OPTS"
)
VERSION_SECONDS = 20.0


def ambient(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The part of `environment` that builds are given, with messages in English."""
    passed = {name: value for name, value in environment.items() if _PASSED.fullmatch(name)}
    return {**passed, "LC_ALL": "C.UTF-8"}


def go(scratch: Path, temporary: Path) -> dict[str, str]:
    """Settings for Go: caches of our own, and nothing but what go.mod and go.sum pin."""
    return {
        "GOPATH": str(scratch / "go"),
        "GOMODCACHE": str(scratch / "go" / "mod"),
        "GOCACHE": str(scratch / "go" / "build"),
        "GOTMPDIR": str(temporary),
        "TMPDIR": str(temporary),
        # -modcacherw: Go makes its module cache read-only, which `rm -rf` cannot remove.
        # -trimpath: no path of this machine in the program.
        "GOFLAGS": "-modcacherw -mod=readonly -trimpath -buildvcs=false",
        "GOWORK": "off",
        "GO111MODULE": "on",
    }


def cargo(scratch: Path) -> dict[str, str]:
    """Settings for cargo: a home of our own that knows the person's registry mirror, if any."""
    home = scratch / "cargo"
    home.mkdir(parents=True, exist_ok=True)
    theirs = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo") / "config.toml"
    if theirs.is_file():
        shutil.copyfile(theirs, home / "config.toml")
    return {
        "CARGO_HOME": str(home),
        "CARGO_TERM_PROGRESS_WHEN": "never",
        "CARGO_TERM_COLOR": "never",
        # The flux module asks for one old toolchain by rust-toolchain.toml; rustup would fetch it.
        "RUSTUP_TOOLCHAIN": os.environ.get("RUSTUP_TOOLCHAIN", "stable"),
    }


def check_tools(recipes: Iterable[Recipe]) -> None:
    """PartError that names every missing or outdated tool of these recipes at once."""
    path = os.environ.get("PATH", os.defpath)
    missing: dict[str, Tool] = {}
    outdated: dict[str, str] = {}
    users: dict[str, list[str]] = {}
    for recipe in recipes:
        for tool in recipe.tools:
            users.setdefault(tool.command, []).append(recipe.name)
            if shutil.which(tool.command, path=path) is None:
                missing[tool.command] = tool
            elif tool.oldest is not None and tool.command not in outdated:
                version = _version(tool)
                if version is not None and version < tool.oldest:
                    outdated[tool.command] = (
                        f"{tool.command} is version {_dotted(version)}, and"
                        f" {_dotted(tool.oldest)} or newer is needed. {tool.remark}".rstrip()
                    )
    if not missing and not outdated:
        return
    advice = []
    if missing:
        packages = sorted({tool.package for tool in missing.values()})
        advice.append(f"Install what is missing: apt-get install {' '.join(packages)}.")
        advice += [tool.remark for tool in missing.values() if tool.remark]
    advice += outdated.values()
    causes = [
        f"no {command} on PATH, needed for {', '.join(users[command])}" for command in missing
    ]
    causes += [f"{command} is too old for {', '.join(users[command])}" for command in outdated]
    raise PartError(" ".join(advice), "\n".join(causes))


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(str(number) for number in version)


def _version(tool: Tool) -> tuple[int, int] | None:
    """The tool's version, or None if it does not tell: then the build will show whether it does."""
    try:
        answer = subprocess.run(
            [tool.command, *tool.version],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=VERSION_SECONDS,
            env={**ambient(), "RUSTUP_TOOLCHAIN": os.environ.get("RUSTUP_TOOLCHAIN", "stable")},
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    numbers = re.search(r"(\d+)\.(\d+)", answer)
    return (int(numbers[1]), int(numbers[2])) if numbers else None
