"""`fieldline backup` and `fieldline restore`."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from fieldline.arguments import DEFAULT_SITE, Json, Site
from fieldline.backup import archive, disk
from fieldline.backup.checks import check_belongs, check_place, check_room, check_root
from fieldline.backup.facts import describe, versions
from fieldline.backup.host import Interruptions, Units, locked, started_again
from fieldline.backup.journal import Phase
from fieldline.backup.manifest import Manifest
from fieldline.backup.parts import PARTS, STATE, parts_of
from fieldline.backup.restore import Restore
from fieldline.backup.take import Backup
from fieldline.errors import FieldlineError
from fieldline.site import load_site
from fieldline.verify.progress import TerminalProgress

backup_app = typer.Typer(add_completion=False)
restore_app = typer.Typer(add_completion=False)

FOLDER = Path("/var/backup")

_NO_BACKUP = "Interrupted: what ran before runs, and no archive was made."
_NO_RESTORE = (
    "Interrupted. `fieldline restore --resume` goes on if something was unpacked already,"
    " `fieldline restore --abort` removes that."
)


class RealHost(Units):
    """The effects of a backup and of a restore on this host."""

    def __init__(self, interruptions: Interruptions) -> None:
        self._interruptions = interruptions

    def started_again(self, units: Sequence[str], *leftovers: Path) -> AbstractContextManager[None]:
        """See `host.started_again`."""
        return started_again(units, *leftovers)

    def held(self) -> AbstractContextManager[None]:
        """See `host.Interruptions.held`."""
        return self._interruptions.held()

    def move(self, source: Path, target: Path) -> None:
        """See `disk.move`."""
        disk.move(source, target)

    def remove(self, path: Path) -> None:
        """See `disk.remove`."""
        disk.remove(path)

    def sync(self) -> None:
        """Bring everything to the disk; file by file takes longer for thousands of them."""
        os.sync()


@contextmanager
def _host() -> Iterator[RealHost]:
    """The host, for one command at a time, ended by signals in an orderly way."""
    interruptions = Interruptions()
    with locked(), interruptions.caught():
        yield RealHost(interruptions)


@contextmanager
def _told(interrupted: str) -> Iterator[None]:
    """What ends a command besides what it knows, in words."""
    try:
        yield
    except OSError as error:
        raise FieldlineError(
            "Look at the disks of this host: something cannot be read or written.", str(error)
        ) from error
    except KeyboardInterrupt:
        typer.echo(interrupted, err=True)
        raise


def _named(target: Path, host: str) -> Path:
    """The file that a folder or a file's name stands for."""
    if FOLDER in (target, target.parent):
        FOLDER.mkdir(mode=0o700, exist_ok=True)
    if target.is_dir():
        return target / f"{host}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar"
    if not target.parent.is_dir():
        raise FieldlineError(f"Make the folder {target.parent} first, or name another one.")
    return target


@backup_app.command(
    epilog="Examples: fieldline backup · fieldline backup /mnt/usb · "
    "fieldline backup /var/backup/before-upgrade.tar --json"
)
def backup(
    target: Annotated[
        Path, typer.Argument(metavar="DIRECTORY|FILE", help="Where the archive goes.")
    ] = FOLDER,
    site: Site = DEFAULT_SITE,
    as_json: Json = False,
) -> None:
    """Archive what Kafka and InfluxDB hold, with the tokens that InfluxDB made.

    Run it as root on the database host. First Kafka, then InfluxDB stands still for some seconds:
    meanwhile Telegraf on the collector holds what Kafka does not take, and Kafka what InfluxDB does
    not. In a folder the archive is called HOST-TIME.tar. It holds tokens: only root can read it.
    """
    check_root()
    declared = load_site(site)
    host = socket.gethostname()
    parts = parts_of(declared, host)
    begin = time.monotonic()
    with _told(_NO_BACKUP), _host() as real, TerminalProgress() as progress:
        if Restore(STATE, real, progress).journal.read() is not None:
            raise FieldlineError(
                "A restore is under way: end it with `fieldline restore --resume` or `--abort`."
            )
        file = _named(target, host)
        # Asked while they run: what stands still answers nothing.
        known = versions(declared, parts, real)

        def described(sizes: Mapping[str, tuple[int, int]]) -> Manifest:
            return describe(declared, host, STATE, known, sizes)

        taken = Backup(parts, STATE, real, real, progress).run(file, described)
    seconds = time.monotonic() - begin
    if as_json:
        told: dict[str, Any] = {**asdict(taken), "file": str(taken.file), "seconds": seconds}
        print(msgspec.json.encode({**told, "manifest": taken.manifest}).decode())
        return
    still = ", ".join(f"{name} {length:.1f} s" for name, length in taken.stopped.items())
    print(f"{taken.file}: {taken.bytes >> 20} MiB in {seconds:.1f} s; stood still: {still}")
    if len(parts) == 1:
        print(
            "The other server's data are on another host: Kafka's backup must be the older one of"
            " the two."
        )


@restore_app.command(
    epilog="Examples: fieldline restore /var/backup/db-20260301T120000Z.tar --replace · "
    "fieldline restore db.tar --check · fieldline restore --resume"
)
def restore(
    file: Annotated[Path | None, typer.Argument(help="The archive.", show_default=False)] = None,
    site: Site = DEFAULT_SITE,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of the data that are here.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also an archive of another host, site or version.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only read the whole archive; change nothing.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a restore that was killed or failed.")
    ] = False,
    abort: Annotated[
        bool, typer.Option("--abort", help="Go back to what was here before such a restore.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Put an archive of `fieldline backup` in the place of what Kafka and InfluxDB hold here.

    Run it as root on the database host. The archive is unpacked beside the data and every file
    compared with its sum while the servers run; then they stop, both change places, and they start.
    What was here before is removed only when all of them are ready. Should that fail, or be
    interrupted, it goes back to its place.
    """
    check_root()
    if sum((file is not None, resume, abort)) != 1:
        raise typer.BadParameter("give either an archive, or --resume, or --abort")
    declared = load_site(site)
    host = socket.gethostname()
    parts = parts_of(declared, host)
    begin = time.monotonic()
    with _told(_NO_RESTORE), _host() as real, TerminalProgress() as progress:
        work = Restore(STATE, real, progress)
        if file is not None:
            manifest = archive.read_manifest(file)
            known = versions(declared, parts, real)
            here = describe(declared, host, STATE, known, {part.name: (0, 0) for part in parts})
            check_belongs(file, manifest, here, force=force)
            if check:
                archive.read(file, None, work.percent("reading", manifest))
                _tell(f"{file} is whole, and can be restored here.", as_json, archive=str(file))
                return
            _check_free_to_go(work, manifest, replace=replace)
            if manifest.site.sha256 != here.site.sha256:
                typer.echo("The site has changed since: provisioning adds what is new.", err=True)
            work.unpack(file.resolve(), manifest)
        if abort:
            work.abort()
            _tell("What was here before is in its place.", as_json)
            return
        record = work.run()
    seconds = time.monotonic() - begin
    text = f"{record.archive} of {record.created} is in place and runs ({seconds:.1f} s)."
    _tell(text, as_json, archive=record.archive, created=record.created, seconds=seconds)


def _check_free_to_go(work: Restore, manifest: Manifest, *, replace: bool) -> None:
    record = work.journal.read()
    if record is not None and record.phase is not Phase.UNPACKING:
        raise FieldlineError(
            f"A restore of {record.archive} is under way ({record.phase}): `fieldline restore"
            " --resume` goes on with it, `fieldline restore --abort` goes back.",
            record.reason,
        )
    check_place([part for part in PARTS if part.name in manifest.parts], STATE, replace=replace)
    need = sum(part.bytes for part in manifest.parts.values())
    check_room(STATE, need, "what is unpacked")


def _tell(text: str, as_json: bool, **facts: str | float) -> None:
    print(msgspec.json.encode({"ok": True, **facts}).decode() if as_json else text)
