"""`python -m stream_model` is the command `stream-model`."""

from stream_model.cli import main

main()
