"""What the tests on secrets share: the real programs, and plants of a few lines."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fieldline.errors import FieldlineError
from fieldline.secrets.keep import Keeper
from fieldline.secrets.rules import SHARED, host_file
from fieldline.secrets.tools import Tools
from fieldline.secrets.tree import Tree
from fieldline.secrets.wanted import Wanted

# Makes the helpers beside the tests importable, whatever way pytest imports them.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def tools() -> Tools:
    """The real sops, age-keygen and openssl; without them the test says which is missing."""
    try:
        return Tools.find()
    except FieldlineError as error:
        pytest.skip(f"{error.cause}: run `make prepare`")


def wanted(**hosts: str) -> Wanted:
    """A site's secrets: host → names with blanks between; what several have is shared."""
    names = {host: text.split() for host, text in hosts.items()}
    everything = [name for listed in names.values() for name in listed]
    return Wanted(
        {
            host: {
                name: SHARED if everything.count(name) > 1 else host_file(host) for name in listed
            }
            for host, listed in names.items()
        }
    )


Plant = Callable[..., Keeper]


@pytest.fixture
def plant(tools: Tools, tmp_path: Path) -> Plant:
    """Gives a keeper for the folder of the test: `plant(db="a-password b-token")`."""

    def make(
        key: str = "admin.txt", ask: Callable[[str], str | None] = lambda _: None, **hosts: str
    ) -> Keeper:
        folder = tmp_path / "plant"
        folder.mkdir(exist_ok=True)
        return Keeper(Tree(folder), wanted(**hosts), tools, tmp_path / "keys" / key, ask)

    return make
