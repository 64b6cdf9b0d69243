"""`fieldline secrets audit`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict

import typer

from fieldline.errors import FieldlineError
from fieldline.secrets.audit import credentials, files, processes
from fieldline.secrets.audit.model import Needles, Result
from fieldline.secrets.context import Json, Progress, show_json


def run(say: Callable[[str], None]) -> Result:
    """Audit this host.

    Raises:
        FieldlineError: it is no host of a plant, or not everything can be read.
    """
    if os.geteuid() != 0:
        raise FieldlineError("Run this as root: only root sees where a secret may have gone.")
    secrets = files.read_secrets()
    keys = files.read_host_key()
    result = Result(secrets=sorted({secret.name for secret in secrets}))
    result.findings += files.check_own_files([*secrets, *keys])
    needles = Needles([*secrets, *keys])
    files.search_files(secrets, keys, result, say)
    say("searching the processes")
    processes.search_processes(needles, result)
    credentials.check_credentials(result)
    processes.search_journal(needles, result, say)
    result.findings = sorted(set(result.findings))
    return result


def audit(as_json: Json = False) -> None:
    """Check on a host that each secret is where it belongs and nowhere else. Run it as root.

    Looked at: the secrets' own files; /etc, /opt/fieldline and the system's closure; what every
    user can read below /var, /run, /tmp and homes (files up to 4 MiB); arguments and environment of
    each process; the journal; who can read each unit's credentials. No value is ever shown.

    Exit code 0 if all is well, 1 if something was found.

    Examples:

        sudo fieldline secrets audit

        fieldline lab exec db -- fieldline secrets audit --json
    """
    with Progress() as progress:
        result = run(progress.now)
    if as_json:
        show_json({"well": not result.findings, **asdict(result)})
    else:
        for finding in result.findings:
            typer.echo(f"{finding.secret}: {finding.where}: {finding.what}")
        names = len(result.secrets)
        seen = (
            f"{names} secret{'' if names == 1 else 's'}; searched {result.files:,} files"
            f" ({result.bytes >> 20:,} MiB), {result.processes} processes,"
            f" {result.journal_bytes >> 20} MiB of journal; {result.credentials} credentials"
        )
        verdict = f"{len(result.findings)} found" if result.findings else "all is well"
        typer.echo(f"{verdict}: {seen}")
    if result.findings:
        raise typer.Exit(1)
