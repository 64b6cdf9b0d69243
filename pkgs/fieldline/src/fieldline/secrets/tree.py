"""The files of a plant's secrets, changed all together or not at all.

A change is made in a folder beside them, which is then renamed to COMMIT. From that moment it is
decided: whoever comes next, after a power cut too, puts its files into place (`recover`). Before
that moment nothing of it counts, and what a killed command left is removed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fieldline.errors import FieldlineError
from fieldline.secrets import document, rules
from fieldline.secrets.document import Document
from fieldline.secrets.rules import ADMIN, SHARED, Rules

FOLDER = "secrets"
STAGE, COMMIT = ".fieldline-secrets.new.", ".fieldline-secrets.commit"


class Tree:
    """`.sops.yaml` and `secrets/` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    def path(self, file: str) -> Path:
        """Where a file is, given relative to secrets/."""
        return self.folder / FOLDER / file

    def files(self) -> list[str]:
        """The encrypted files that are there, relative to secrets/."""
        hosts = sorted(f"hosts/{path.name}" for path in self.path("hosts").glob("*.yaml"))
        return [f for f in (ADMIN, SHARED) if self.path(f).is_file()] + hosts

    def rules(self) -> Rules | None:
        """Who shall read what; None where there is no `.sops.yaml`."""
        return rules.read(self.folder)

    def documents(self) -> dict[str, Document]:
        """What each file tells without a key."""
        return {file: document.read(self.path(file)) for file in self.files()}

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Have the folder alone, with what an earlier command left brought to its end.

        Raises:
            FieldlineError: it cannot be written to.
        """
        try:
            descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise FieldlineError(f"Make the folder {self.folder} first.", str(error)) from None
        try:
            # The folder itself is the lock: no file of it stays, and a killed command frees it.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._recover()
            yield
        except PermissionError as error:
            raise FieldlineError(f"Make {self.folder} writable to this user.", str(error)) from None
        finally:
            os.close(descriptor)

    @contextmanager
    def stage(self, *, empty: bool = False) -> Iterator[Tree]:
        """A copy to change (or an empty one); removed again unless it was committed."""
        folder = Path(tempfile.mkdtemp(prefix=STAGE, dir=self.folder))
        try:
            staged = Tree(folder)
            staged.path("hosts").mkdir(parents=True)
            if not empty:
                for file in self.files():
                    shutil.copyfile(self.path(file), staged.path(file))
                if (self.folder / rules.FILE).is_file():
                    shutil.copyfile(self.folder / rules.FILE, folder / rules.FILE)
            yield staged
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def commit(self, staged: Tree) -> list[str]:
        """Put a staged copy into place; the files that differ from before."""
        changed = [
            file
            for file in sorted({*self.files(), *staged.files()})
            if _content(self.path(file)) != _content(staged.path(file))
        ]
        if _content(self.folder / rules.FILE) != _content(staged.folder / rules.FILE):
            changed.insert(0, rules.FILE)
        if changed:
            for path in (p for p in staged.folder.rglob("*") if p.is_file()):
                _to_disk(path)
            staged.folder.rename(self.folder / COMMIT)
            self._finish()
        return changed

    def _recover(self) -> None:
        if (self.folder / COMMIT).is_dir():
            self._finish()
        for left in self.folder.glob(f"{STAGE}*"):
            shutil.rmtree(left, ignore_errors=True)

    def _finish(self) -> None:
        """Make the tree equal to what was committed; may be cut off and begun again at will."""
        new = Tree(self.folder / COMMIT)
        owner = self.folder.stat()
        self.path("hosts").mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            # Root works in somebody's work tree here: it stays theirs.
            for made in (self.folder / FOLDER, self.path("hosts")):
                os.chown(made, owner.st_uid, owner.st_gid)
        pairs = [(new.path(file), self.path(file)) for file in new.files()]
        pairs.append((new.folder / rules.FILE, self.folder / rules.FILE))
        for source, target in pairs:
            if _content(source) == _content(target):
                continue
            temporary = target.with_name(f".{target.name}.new")
            shutil.copyfile(source, temporary)
            temporary.chmod(0o644)
            if os.geteuid() == 0:
                os.chown(temporary, owner.st_uid, owner.st_gid)
            _to_disk(temporary)
            temporary.replace(target)
        for file in set(self.files()) - set(new.files()):
            self.path(file).unlink()
        # Under the other name first: half of it must not be taken for a decision.
        done = Path(tempfile.mkdtemp(prefix=STAGE, dir=self.folder))
        new.folder.rename(done / "done")
        shutil.rmtree(done, ignore_errors=True)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _to_disk(path: Path) -> None:
    """A rename may reach the disk before what is in the file, unless that is sent there first."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
