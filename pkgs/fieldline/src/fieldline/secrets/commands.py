"""`fieldline secrets`: the plant's secrets, from their making to the hosts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from fieldline.errors import FieldlineError
from fieldline.secrets import effects, values
from fieldline.secrets.age import check_recipient
from fieldline.secrets.audit.command import audit
from fieldline.secrets.context import (
    AdminKey,
    Folder,
    Json,
    Plant,
    Progress,
    Site,
    interactive,
    missing_error,
    read_value,
    show_json,
    show_steps,
)
from fieldline.secrets.edit import edit
from fieldline.secrets.install import install
from fieldline.secrets.keep import ForeignError, Report, Request
from fieldline.secrets.readers import show_recipients
from fieldline.secrets.values import CONSOLE, CONSOLE_HASH, HOST_KEY, SOURCES

app = typer.Typer(
    no_args_is_help=True,
    help="The plant's secrets: encrypted files beside site.toml, kept with sops and age.",
)

Recipients = Annotated[
    list[str] | None,
    typer.Option(
        "--recipient",
        help="A further administrator's public key, age1...; may be given again.",
        show_default=False,
    ),
]


def _told(report: Report, plant: Plant, as_json: bool) -> None:
    """Print what was done; a value that somebody must give is an error at the end."""
    if as_json:
        show_json({"folder": str(plant.tree.folder), **asdict(report)})
    else:
        if report.new_admin_key:
            typer.echo(
                f"made your key {plant.keeper.key_file}: keep a copy of it elsewhere, without it"
                " the secrets are lost"
            )
        for name in report.dropped:
            typer.echo(f"removed {name}")
        for file in report.changed:
            typer.echo(f"wrote {file if file.startswith('.') else f'secrets/{file}'}")
        if not report.changed:
            typer.echo(f"{plant.tree.folder}: the secrets are complete; nothing changed")
    if report.missing:
        if as_json:
            raise typer.Exit(1)
        raise missing_error(report.missing)


@app.command()
def init(
    site: Site = None,
    folder: Folder = None,
    admin_key: AdminKey = None,
    recipient: Recipients = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Begin anew where the files are somebody else's.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make the plant's secrets, or complete them: keys of hosts, passwords, tokens.

    Repeat it as often as you like: what is there stays. Your own age key is made if you have none.
    A password that a device's owner decides is asked for; without a terminal it is left out and
    named, and the exit code is 1 then.

    Examples:

        fieldline secrets init

        fieldline secrets init --replace     (in a fresh copy of the demonstration)

        fieldline secrets init --recipient age1...
    """
    further = tuple(check_recipient(text) for text in recipient or ())
    with Progress() as progress:
        plant = Plant.open(site, folder, admin_key, progress)
        request = Request(recipients=further, replace=replace)
        try:
            report = plant.keeper.keep(request)
        except ForeignError as error:
            if not interactive():
                raise
            progress.__exit__()
            typer.echo(str(error), err=True)
            typer.confirm("Replace them by new ones of your own?", abort=True, err=True)
            request.replace = True
            report = plant.keeper.keep(request)
    _told(report, plant, as_json)


@app.command(name="set")
def set_value(
    name: Annotated[str, typer.Argument(help="A secret, such as opcua-oven-password.")],
    site: Site = None,
    folder: Folder = None,
    admin_key: AdminKey = None,
) -> None:
    """Give a secret a value: from standard input, or asked for on a terminal.

    Examples:

        fieldline secrets set opcua-oven-password

        pass show plant/oven | fieldline secrets set opcua-oven-password
    """
    with Progress() as progress:
        plant = Plant.open(site, folder, admin_key, progress)
        if name == CONSOLE_HASH:
            raise FieldlineError(f"Set {CONSOLE}: the hash is made from it.")
        effects.check_known(name, plant.wanted)
        value = read_value(name, progress)
        report = plant.keeper.keep(Request(provided={name: value}))
    report.missing = []
    _told(report, plant, as_json=False)
    show_steps("For it to be used:", effects.steps(name, plant.wanted))


@app.command()
def rotate(
    names: Annotated[
        list[str] | None, typer.Argument(help="Secrets, or host-key-HOST.", show_default=False)
    ] = None,
    all_generated: Annotated[
        bool,
        typer.Option("--all-generated", help="All that this command can make, but host keys."),
    ] = False,
    site: Site = None,
    folder: Folder = None,
    admin_key: AdminKey = None,
    as_json: Json = False,
) -> None:
    """Give secrets new values, and say what must be deployed and restarted for them to be used.

    The operator's token of InfluxDB cannot be rotated this way; the command says how it is done.

    Examples:

        fieldline secrets rotate influxdb-admin-password

        fieldline secrets rotate host-key-db
    """
    if bool(names) == all_generated:
        raise FieldlineError("Name secrets to rotate, or give --all-generated.")
    with Progress() as progress:
        plant = Plant.open(site, folder, admin_key, progress)
        chosen = list(names or ())
        for name in chosen:
            effects.refuse_what_cannot_rotate(name, plant.wanted)
        if all_generated:
            chosen = [
                name
                for name in sorted(plant.wanted.names())
                if name != effects.OPERATOR_TOKEN and not values.is_given(name)
            ]
        # What follows from another secret changes with that one.
        renewed = sorted({SOURCES.get(name, name) for name in chosen})
        report = plant.keeper.keep(Request(renew=frozenset(renewed)))
    # Unless it was made now, what somebody must give is not this command's matter.
    report.missing = []
    todo = {name: effects.steps(name, plant.wanted) for name in renewed}
    if as_json:
        show_json({**asdict(report), "renewed": renewed, "steps": todo})
        return
    _told(report, plant, as_json=False)
    for name, lines in todo.items():
        show_steps(f"{name} has a new value. For it to be used:", lines)


@app.command()
def rekey(
    site: Site = None,
    folder: Folder = None,
    admin_key: AdminKey = None,
    recipient: Recipients = None,
    remove_recipient: Annotated[
        list[str] | None,
        typer.Option(
            "--remove-recipient",
            help="The public key of an administrator who shall read no longer.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Bring files and readers to the site after hosts or administrators have changed.

    New hosts get keys and values. The files of hosts that are gone are removed, and what the site
    no longer names with them. Whoever is removed has seen the values: rotate them afterwards.

    Examples:

        fieldline secrets rekey

        fieldline secrets rekey --remove-recipient age1...
    """
    further = tuple(check_recipient(text) for text in recipient or ())
    removed = tuple(check_recipient(text) for text in remove_recipient or ())
    with Progress() as progress:
        plant = Plant.open(site, folder, admin_key, progress)
        report = plant.keeper.keep(Request(recipients=further, removed=removed, drop=True))
    _told(report, plant, as_json)
    gone = removed or any(name.startswith((HOST_KEY, "hosts/")) for name in report.dropped)
    if gone and not as_json:
        show_steps(
            "Who was removed knows the old values:", ["fieldline secrets rotate --all-generated"]
        )


app.command(name="show-recipients")(show_recipients)
app.command()(edit)
app.command()(install)
app.command()(audit)
