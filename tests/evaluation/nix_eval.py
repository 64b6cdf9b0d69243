"""The evaluation of the flake with real Nix and real NixOS modules, as `make nix-eval` runs it.

Needs the tool `nix-eval` and its prepared module tree, which are no part of a checkout: where they
are missing, everything here fails and says what to do. `NIX_EVAL` and `NIX_EVAL_TREE` name others.
"""

import json
import os
import shutil
import subprocess
import tempfile
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TOOL = Path(os.environ.get("NIX_EVAL") or ROOT.parent / "shared/tools/nix-eval/nix-eval")
TREE = Path(os.environ.get("NIX_EVAL_TREE") or Path.home() / ".cache/nix-eval/tree")

# The longest is the check of everything, under a minute on two cores.
SECONDS = 600


class MissingError(Exception):
    """The tool or its module tree is not there."""


def require() -> None:
    """MissingError with the steps, where the evaluation cannot run."""
    if not TOOL.is_file():
        raise MissingError(
            f"There is no nix-eval at {TOOL}: name it with NIX_EVAL=FILE. Without it nothing of the"
            " appliances is evaluated."
        )
    if not (TREE / ".nix-eval" / "names.json").is_file():
        raise MissingError(
            f"There is no module tree at {TREE}: make one with the tool's `setup` (its README says"
            " what it needs), or name it with NIX_EVAL_TREE=FOLDER."
        )


@cache
def tree() -> Path:
    """The module tree with stand-ins for the reviewed exceptions, and for no other name."""
    require()
    exceptions = tomllib.loads((HERE / "exceptions.toml").read_text())
    names_file = TREE / ".nix-eval" / "names.json"
    names = json.loads(names_file.read_text())
    for name, entry in exceptions["packages"].items():
        names["top"][name] = {attribute: {} for attribute in entry.get("attributes", ())}
    names["python"] += sorted(exceptions["python"])
    folder = Path(tempfile.gettempdir()) / f"fieldline-nix-eval.{os.getuid()}.{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    # Hard links: 24 MB of files that nobody changes.
    shutil.copytree(TREE, folder, symlinks=True, copy_function=_link)
    parts = folder / ".nix-eval"
    # The tool's own files are links, and would look for their siblings where they lead.
    for link in parts.glob("*.nix"):
        text = link.read_text()
        link.unlink()
        link.write_text(text)
    (parts / "names.json").unlink()
    (parts / "names.json").write_text(json.dumps(names))
    versions = {
        name: entry["version"]
        for name, entry in exceptions["packages"].items()
        if "version" in entry
    }
    (parts / "versions.nix").rename(parts / "tool-versions.nix")
    (parts / "versions.nix").write_text(
        "let tool = import ./tool-versions.nix; in tool // {"
        f" version = tool.version // builtins.fromJSON ''{json.dumps(versions)}''; }}\n"
    )
    return folder


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
    return target


def remove_tree() -> None:
    """Remove the tree that `tree` has made, if it has."""
    if tree.cache_info().currsize:
        shutil.rmtree(tree(), ignore_errors=True)


def run(
    command: str, *arguments: str, flake: Path = ROOT, options: tuple[str, ...] = ()
) -> "subprocess.CompletedProcess[str]":
    """`nix-eval COMMAND FLAKE ARGUMENTS`, with strict packages."""
    argv = [str(TOOL), command, "--strict-packages", "--tree", str(tree()), *options]
    return subprocess.run(
        [*argv, str(flake), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


def value(command: str, *arguments: str, flake: Path = ROOT) -> Any:
    """The JSON that a command prints."""
    done = run(command, *arguments, flake=flake)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@cache
def units(host: str) -> dict[str, Any]:
    """Every systemd service of a host, parsed and as text."""
    found: dict[str, Any] = value("units", host)
    return found


@cache
def config(host: str, path: str, *further: str) -> Any:
    """A value of a host's configuration, such as `services.telegraf.extraConfig`.

    What follows `path` are names that may have dots in them.
    """
    names = " ".join(json.dumps(name) for name in (*path.split("."), *further))
    return expression(f"e.get {json.dumps(host)} [ {names} ]")


@cache
def settings() -> Any:
    """What `lib/` makes of the site: what the lab runs."""
    done = subprocess.run(
        [
            *("nix-instantiate", "--store", "dummy://", "--eval", "--strict", "--json"),
            *(str(ROOT / "lib" / "default.nix"), "-A", "lab"),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS,
    )
    return json.loads(done.stdout)


def expression(body: str, flake: Path = ROOT, inputs: dict[str, Path] | None = None) -> Any:
    """A Nix expression with `e`, what nix-eval knows of the flake (its outputs are `e.outputs`)."""
    extra = "".join(
        f"{name} = /. + {json.dumps(str(path))}; " for name, path in (inputs or {}).items()
    )
    recorded = json.loads((tree() / ".nix-eval" / "config.json").read_text())
    arguments = {
        "nixpkgsTree": tree(),
        "flakeDir": flake,
        "sopsNix": recorded["sops_nix"],
        "nixosGenerators": recorded["generators"],
    }
    given = "".join(f"{key} = /. + {json.dumps(str(path))}; " for key, path in arguments.items())
    evaluator = TOOL.parent / "eval.nix"
    text = f"let e = import {evaluator} {{ {given} extraInputs = {{ {extra} }}; }}; in {body}"
    environment = {**os.environ, "NIX_PATH": "", "GC_INITIAL_HEAP_SIZE": "1G"}
    done = subprocess.run(
        [
            *("nix-instantiate", "--store", "dummy://", "--eval", "--strict", "--json"),
            *("--readonly-mode", "-E", text),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@cache
def files(host: str) -> dict[str, Any]:
    """The generated files of a host by their place in the store, with their values."""
    found: dict[str, Any] = value("files", host)
    return found
