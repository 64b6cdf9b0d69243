"""What the tests of a plant's encrypted files look at: values by the admin's key, and bytes."""

from __future__ import annotations

from pathlib import Path

from fieldline.secrets.keep import Keeper
from fieldline.secrets.sops import Sops


def read(keeper: Keeper, file: str) -> dict[str, str]:
    return Sops(keeper.tools, keeper.key_file).decrypt(keeper.tree.path(file))


def all_values(keeper: Keeper) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in keeper.tree.files():
        found |= read(keeper, file)
    return found


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
