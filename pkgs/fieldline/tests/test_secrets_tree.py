"""What goes wrong while encrypted files are kept: damage, failing programs, kills."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fieldline.errors import FieldlineError
from fieldline.secrets import tree
from fieldline.secrets.keep import Keeper, Request
from fieldline.secrets.tools import Tools
from fieldline.secrets.tree import COMMIT, STAGE, Tree

from .secrets_files import all_values, content

Plant = Callable[..., Keeper]

DB = "console-password-hash a-password b-token"
HASH = "console-password-hash"


def test_a_changed_ciphertext_is_noticed(plant: Plant) -> None:
    keeper = plant(db=DB)
    keeper.keep(Request())
    path = keeper.tree.path("hosts/db.yaml")
    lines = path.read_text().splitlines(keepends=True)
    names = [line.partition(":")[0] for line in lines[:2]]
    swapped = [
        f"{name}:{line.partition(':')[2]}"
        for name, line in zip(names, reversed(lines[:2]), strict=True)
    ]
    path.write_text("".join([*swapped, *lines[2:]]))
    with pytest.raises(FieldlineError, match="not readable"):
        keeper.keep(Request())


def test_a_lost_file_is_named(plant: Plant) -> None:
    keeper = plant(db=DB)
    keeper.keep(Request())
    saved = keeper.tree.path("admin.yaml").read_bytes()
    keeper.tree.path("admin.yaml").unlink()
    with pytest.raises(FieldlineError, match=r"Bring secrets/admin.yaml back"):
        keeper.keep(Request())
    keeper.tree.path("admin.yaml").write_bytes(saved)
    (keeper.tree.folder / ".sops.yaml").unlink()
    with pytest.raises(FieldlineError, match=r"Bring .sops.yaml back"):
        keeper.keep(Request())


def test_a_failing_program_leaves_everything_as_it_was(plant: Plant, tmp_path: Path) -> None:
    keeper = plant(db=DB)
    keeper.keep(Request())
    before = content(tmp_path / "plant")
    broken = tmp_path / "sops"
    # Everything works but the last step.
    broken.write_text(
        f'#!/bin/sh\ncase "$*" in *rotate*) exit 7 ;; esac\nexec {keeper.tools.sops} "$@"\n'
    )
    broken.chmod(0o755)
    keeper.tools = Tools(str(broken), keeper.tools.age_keygen, keeper.tools.openssl)
    with pytest.raises(FieldlineError, match="cannot change who reads") as error:
        keeper.keep(Request(renew=frozenset({"host-key-db"})))
    assert error.value.cause == "sops: exit status 7"
    assert content(tmp_path / "plant") == before


def test_what_is_decided_is_brought_to_its_end(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command dies at each of its steps; the next one finds the old state or the new one."""
    folder = tmp_path / "plant"
    plant(db=DB, opc=HASH).keep(Request())
    old = tmp_path / "old"
    shutil.copytree(folder, old)
    for step in range(1, 12):
        shutil.rmtree(folder)
        shutil.copytree(old, folder)
        keeper = plant(db=DB)
        count = 0

        def to_disk(path: Path, real: object = tree._to_disk, last: int = step) -> None:
            nonlocal count
            count += 1
            if count == last:
                raise KeyboardInterrupt
            assert callable(real)
            real(path)

        with monkeypatch.context() as patch:
            patch.setattr(tree, "_to_disk", to_disk)
            try:
                keeper.keep(Request(drop=True))
                break
            except KeyboardInterrupt:
                pass
        decided = (folder / COMMIT).is_dir()
        after = Tree(folder)
        with after.alone():
            pass
        assert ("hosts/opc.yaml" in after.files()) is not decided
        assert not list(folder.glob(f"{STAGE}*")) + list(folder.glob(COMMIT))
        all_values(keeper)
        after.rules()
    else:
        pytest.fail("it never ended by itself")
    assert step > 4


def test_what_a_killed_command_left_is_removed(plant: Plant, tmp_path: Path) -> None:
    keeper = plant(db=DB)
    left = tmp_path / "plant" / f"{STAGE}x" / "secrets"
    left.mkdir(parents=True)
    keeper.keep(Request())
    assert not left.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_named(plant: Plant, tmp_path: Path) -> None:
    keeper = plant(db=DB)
    (tmp_path / "plant").chmod(0o500)
    with pytest.raises(FieldlineError, match="writable"):
        keeper.keep(Request())
