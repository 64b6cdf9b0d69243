"""`python -m fieldline_faults`: the matrix as `make faults` runs it."""

from fieldline_lab.entry import run

from fieldline_faults.command import app

if __name__ == "__main__":
    run(app, "make faults")
