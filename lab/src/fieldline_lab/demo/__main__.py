"""`python -m fieldline_lab.demo`: the demonstration alone, as sudo runs it."""

from fieldline_lab.demo.command import app
from fieldline_lab.entry import run

if __name__ == "__main__":
    run(app, "fieldline demo")
