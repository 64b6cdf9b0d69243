"""Run benchmarks, keep their results, compare them with the last ones, write the pages.

python bench/run.py [NAME ...] [--list] [--no-keep] [--page]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import sizing
from catalogue import BENCHES
from figures import Bench
from page import span, write
from plots import draw
from results import keep, kept

HERE = Path(__file__).resolve().parent


def run(bench: Bench) -> dict[str, object]:
    """One benchmark, to its end; what it says meanwhile goes to standard error.

    Raises:
        SystemExit: it failed.
    """
    begun = time.monotonic()
    print(f"{bench.name}: about {bench.minutes:g} min", file=sys.stderr, flush=True)
    argv = [sys.executable, str(HERE / bench.script), *bench.arguments]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{bench.name} has failed with exit status {done.returncode}; nothing is kept.")
    result = json.loads(done.stdout)
    if not isinstance(result, dict):
        sys.exit(f"{bench.name} has printed no JSON object; nothing is kept.")
    print(f"{bench.name}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    return result


def compare(bench: Bench, result: dict[str, object]) -> None:
    """Print each figure beside the last one kept."""
    results = kept(bench.name)
    before = results[-1].content if results else {}
    for figure in bench.figures:
        now = figure.values(result)
        met = figure.met(now)
        word = "" if met is None else "  met" if met else "  MISSED"
        print(
            f"  {figure.label:<52} {span(now):>20} {figure.unit:<9}"
            f" before {span(figure.values(before))}{word}"
        )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Run benchmarks and keep their results.",
        epilog="Examples: bench/run.py --list · bench/run.py kafka-flush · bench/run.py --page",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="all if none is given")
    parser.add_argument("--list", action="store_true", help="name them and what they take")
    parser.add_argument("--no-keep", action="store_true", help="compare, and keep nothing")
    parser.add_argument("--page", action="store_true", help="only write the pages anew")
    options = parser.parse_args()
    known = {bench.name: bench for bench in BENCHES}
    unknown = [name for name in options.names if name not in known]
    if unknown:
        sys.exit(f"There is no benchmark {unknown[0]!r}; there are: {', '.join(known)}.")
    chosen = [known[name] for name in options.names] or list(BENCHES)
    if options.list:
        for bench in chosen:
            print(f"{bench.name:<28} about {bench.minutes:g} min   {bench.about}")
        return
    if not options.page:
        date = time.strftime("%Y-%m-%d", time.gmtime())
        for bench in chosen:
            result = run(bench)
            compare(bench, result)
            if not options.no_keep:
                keep(bench.name, date, result)
                draw(bench.name, result)
    if not options.no_keep:
        write()
        sizing.write()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
