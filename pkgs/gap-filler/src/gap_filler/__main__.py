"""`python -m gap_filler` is the command `gap-filler`."""

from gap_filler.cli import main

main()
