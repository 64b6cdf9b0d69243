"""Write the reference of the modules' options; `test_options.py` holds the committed page to it.

usage: python tests/evaluation/options.py docs/options.md
"""

import sys
from pathlib import Path

import nix_eval

if __name__ == "__main__":
    try:
        text = nix_eval.expression("e.outputs.lib.optionsReference")
    except nix_eval.MissingError as error:
        sys.exit(f"make options: {error}")
    finally:
        nix_eval.remove_tree()
    Path(sys.argv[1]).write_text(text)
