"""`python -m fieldline_lab`: the lab's commands alone, as sudo runs them."""

from .commands import app
from .entry import run

if __name__ == "__main__":
    run(app, "fieldline lab")
