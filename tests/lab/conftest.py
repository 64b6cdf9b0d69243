"""Real lab hosts for the tests. They need root, and fail without it rather than pass unseen."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fieldline_lab import lab as labs
from fieldline_lab.elevate import find_tools
from fieldline_lab.lab import Lab

# The tests share helpers, and the folder is no package.
sys.path.insert(0, str(Path(__file__).parent))

from traces import nothing, traces
from worktree import WorkTree


@pytest.fixture(scope="session", autouse=True)
def _root() -> None:
    assert os.geteuid() == 0, "the lab's tests need root: run `sudo make test`"
    find_tools()


def _removed(tree: WorkTree, name: str = "default") -> None:
    """End the lab and its data, and insist that nothing of it is left."""
    names = tree.names(name)
    labs.down(names, purge=True)
    assert traces(names) == nothing(names)


@contextmanager
def _work_tree() -> Iterator[WorkTree]:
    tree = WorkTree()
    try:
        yield tree
    finally:
        _removed(tree)
        shutil.rmtree(tree.path)


@pytest.fixture
def tree() -> Iterator[WorkTree]:
    """A work tree for one test; its lab is ended afterwards."""
    with _work_tree() as tree:
        yield tree


@pytest.fixture(scope="module")
def shared_tree() -> Iterator[WorkTree]:
    """A work tree for the tests of a module that leave its lab as it was."""
    with _work_tree() as tree:
        yield tree


@pytest.fixture(scope="module")
def lab(shared_tree: WorkTree) -> Lab:
    """A lab that is up; a test that switches a host off switches it on again."""
    lab = Lab.from_worktree(shared_tree.path)
    lab.up()
    return lab
