"""What a lab and its pieces are called, so that two labs on one machine never meet."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from fieldline.errors import FieldlineError

RUNTIME_ROOT = Path("/run/fieldline-lab")
NETNS_ROOT = Path("/run/netns")
CGROUP_ROOT = "fieldline-lab"
DEFAULT_NAME = "default"

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?")


@dataclass(frozen=True)
class LabNames:
    """The names of one lab, all derived from the work tree, the site file and the lab's name.

    The id is in every name that the machine sees: namespaces, control groups, folders. So what a
    killed command left behind can be found without any record of it.
    """

    worktree: Path
    site: Path
    name: str

    @classmethod
    def of(cls, worktree: Path, site: Path, name: str = DEFAULT_NAME) -> "LabNames":
        """The names for a lab; relative paths and links are resolved first."""
        if not _NAME.fullmatch(name):
            raise FieldlineError(
                f"The lab's name {name!r} cannot be used: take lower case letters, digits and"
                " hyphens, at most 32, beginning with a letter."
            )
        return cls(worktree.resolve(), site.resolve(), name)

    @property
    def lab_id(self) -> str:
        """Eight hexadecimal digits; long enough for the labs of one machine."""
        text = "\0".join([str(self.worktree), str(self.site), self.name])
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def runtime(self) -> Path:
        """What lasts as long as the lab runs."""
        return RUNTIME_ROOT / self.lab_id

    @property
    def lock(self) -> Path:
        """Beside the runtime folder, since that one is removed while the lock is held."""
        return self.runtime.with_suffix(".lock")

    @property
    def state(self) -> Path:
        """What outlives `down`: the hosts' data, secrets, chosen ports.

        Labs of two sites of one work tree may both be called `default`: all but that of the work
        tree's own `site.toml` have the id in the folder's name, so that their data never mix.
        """
        plain = self.worktree / "site.toml"
        folder = self.name if self.site == plain else f"{self.name}-{self.lab_id}"
        return self.worktree / ".lab" / folder

    @property
    def bridge(self) -> str:
        """The namespace with the bridge. The dot keeps it apart from a host called `bridge`."""
        return f"fl-{self.lab_id}.bridge"

    def namespace(self, host: str) -> str:
        """The network namespace of a host."""
        return f"fl-{self.lab_id}-{host}"

    def machine(self, host: str) -> str:
        """The name that systemd-nspawn knows the host by."""
        return f"fl-{self.lab_id}-{host}"

    def cgroup(self, *parts: str) -> str:
        """A control group of this lab, relative to the mount point."""
        return "/".join([CGROUP_ROOT, self.lab_id, *parts])


def find_worktree(start: Path) -> Path:
    """The work tree around `start`: the nearest folder that holds `lib/default.nix`.

    Elsewhere, the one this package is run from, if it is run from one.
    """
    start = start.resolve()
    for folder in (start, *start.parents, *Path(__file__).resolve().parents):
        if (folder / "lib" / "default.nix").is_file():
            return folder
    raise FieldlineError(
        "There is no Fieldline work tree here: change to the folder with site.toml and lib/."
    )
