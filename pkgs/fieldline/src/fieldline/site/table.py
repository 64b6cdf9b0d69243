"""What every table of `site.toml` is, and how a choice among several is told."""

from __future__ import annotations

from pydantic import ConfigDict

# The tag of a choice stands in pydantic's error locations. No TOML key that is accepted holds a
# NUL, so that a tag is never taken for a key.
TAG = "\0"

# A table is closed: a key it does not know is a mistake.
CLOSED = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
