"""Plants for these tests, and what is asked of their hosts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fieldline_lab.host import Host
from fieldline_lab.lab import Lab

ROOT = Path(__file__).resolve().parents[2]
# Against hangs only.
SECONDS = 180.0


@contextmanager
def booted(name: str, site: Path | None = None) -> Iterator[Lab]:
    """A plant without data, of this site or the demonstration's; nothing stays of it."""
    lab = Lab.from_worktree(ROOT, site=site, name=name)
    try:
        lab.up(fresh=True)
        yield lab
    finally:
        lab.down(purge=True)


def now(host: Host) -> str:
    """The time of a host, ns since 1970."""
    return host.exec(["date", "+%s%N"], check=True).stdout.strip()


def until_succeeds(host: Host, command: str) -> None:
    """Run a command in a host until it succeeds."""
    loop = f"until {command} >/dev/null 2>&1; do sleep 0.5; done"
    host.exec(["timeout", str(SECONDS), "sh", "-c", loop], check=True)


def with_admin(folder: Path, name: str, key: str) -> Path:
    """The demonstration plant with one more admin, in `folder`; the new site's path."""
    text = (ROOT / "site.toml").read_text()
    head, table, tail = text.partition("[admins]\n")
    assert table, "site.toml has no table of admins"
    site = folder / "site.toml"
    site.write_text(f'{head}{table}{name} = ["{key.strip()}"]\n{tail}')
    return site
