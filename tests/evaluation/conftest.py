"""What the evaluation's tests share: they fail, and are never skipped, where they cannot run."""

from collections.abc import Iterator

import pytest

from . import nix_eval


@pytest.fixture(scope="session", autouse=True)
def prepared() -> Iterator[None]:
    nix_eval.require()
    yield
    nix_eval.remove_tree()
