"""The fault matrix' own tests: that its check cannot be wrong in our favour. No root, no server."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "src"), str(Path(__file__).parent)]
