"""What is said to systemd-nspawn, and what it leaves behind."""

from pathlib import Path

from .rootfs import Root

RUN = Path("/run/systemd/nspawn")


def bind_arguments(root: Root) -> list[str]:
    """The options that mount what the root needs of the machine."""
    binds = [("bind-ro", *pair) for pair in root.read_only]
    binds += [("bind", *pair) for pair in root.writable]
    return [f"--{kind}={_escape(source)}:{_escape(target)}" for kind, source, target in binds]


def _escape(path: str) -> str:
    return path.replace("\\", "\\\\").replace(":", "\\:")


def forget(machine: str, root: Path) -> None:
    """Remove what systemd-nspawn leaves in /run when it is killed."""
    try:
        (RUN / "propagate" / machine).rmdir()
    except OSError:
        pass
    try:
        status = root.stat()
    except OSError:
        return
    (RUN / "locks" / f"inode-{status.st_dev}:{status.st_ino}").unlink(missing_ok=True)
