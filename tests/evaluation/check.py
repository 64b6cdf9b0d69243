"""`nix-eval check` of everything, without failures or warnings; keeps what it said, with the date.

usage: python tests/evaluation/check.py [--record FILE]
"""

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import nix_eval

# Times and hashes differ from run to run and tell nothing.
_NOISE = re.compile(r" \(\d+\.\d+s\)|(?<=[ /])[0-9a-z]{32}-")


def main() -> int:
    """Run the check; 0 if all is evaluated and nothing is said against it."""
    try:
        done = nix_eval.run("check")
    except nix_eval.MissingError as error:
        print(f"make nix-eval: {error}", file=sys.stderr)
        return 1
    finally:
        nix_eval.remove_tree()
    print(done.stdout + done.stderr, end="")
    bad = [line for line in done.stdout.splitlines() if re.match(r"\s*(warning|note|FAIL)", line)]
    if done.returncode or bad:
        print(f"make nix-eval: {len(bad) or 1} complaints; see above", file=sys.stderr)
        return 1
    if "--record" in sys.argv:
        record(Path(sys.argv[sys.argv.index("--record") + 1]), done.stdout)
    return 0


def record(file: Path, output: str) -> None:
    """Keep the result: when, of which commit, with which Nix, and each line without its noise."""
    commit = _said("git", "rev-parse", "--short", "HEAD")
    changed = bool(_said("git", "status", "--porcelain", "--untracked-files=no"))
    head = [
        f"nix-eval check . --strict-packages, {datetime.now(UTC):%Y-%m-%d}",
        f"commit {commit}{' and what was not committed then' if changed else ''}",
        f"{_said('nix-instantiate', '--version')}, NixOS modules of August 2024",
        "exceptions: see exceptions.toml",
    ]
    file.write_text("\n".join([*head, "", _NOISE.sub("", output)]))


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=nix_eval.ROOT)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
