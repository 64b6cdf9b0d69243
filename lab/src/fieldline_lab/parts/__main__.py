"""`python -m fieldline_lab.parts`: obtain the parts and say where they are."""

import argparse
import json
import os
import sys

from . import ALL, TOOLS, Part, PartError, obtain


def _json(parts: dict[str, Part]) -> str:
    return json.dumps(
        {
            name: {
                "version": part.version,
                "origin": part.origin,
                "directory": str(part.directory),
                "executable": str(part.executable) if part.executable else None,
            }
            for name, part in parts.items()
        },
        indent=2,
    )


def _path(parts: dict[str, Part]) -> str:
    """The folders of the programs, as PATH has them."""
    folders = [str(part.executable.parent) for part in parts.values() if part.executable]
    return os.pathsep.join(dict.fromkeys(folders))


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0, 1 if a part cannot be had, 130 after Ctrl-C."""
    known = (*ALL, *TOOLS)
    parser = argparse.ArgumentParser(
        prog="python -m fieldline_lab.parts",
        description="Obtain the third-party programs and print where they are.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; else all")
    parser.add_argument("--json", action="store_true", help="for scripts")
    parser.add_argument(
        "--path", action="store_true", help="print only what to put before PATH to call them"
    )
    parser.add_argument("--offline", action="store_true", help="never touch the network")
    parser.add_argument(
        "--keep-scratch", action="store_true", help="keep what was downloaded for a build"
    )
    options = parser.parse_args(arguments)
    try:
        parts = obtain(
            options.names or known, offline=options.offline, keep_scratch=options.keep_scratch
        )
    except PartError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; what is already fetched is kept for the next run.", file=sys.stderr)
        return 130
    if options.json:
        print(_json(parts))
    elif options.path:
        print(_path(parts))
    else:
        for part in parts.values():
            print(f"{part.name:<9} {part.version:<8} {part.origin:<6} {part.directory}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
