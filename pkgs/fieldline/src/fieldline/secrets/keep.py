"""Brings the encrypted files to what the site wants: the one way in which they are ever changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fieldline.errors import FieldlineError
from fieldline.secrets import values
from fieldline.secrets.age import ensure_key_file, read_key_file, recipient_of
from fieldline.secrets.document import Document
from fieldline.secrets.rules import ADMIN, FILE, Rules, host_file, host_of
from fieldline.secrets.sops import Sops, decrypt_with
from fieldline.secrets.tools import Tools
from fieldline.secrets.tree import Tree
from fieldline.secrets.values import CONSOLE, CONSOLE_HASH, HOST_KEY, SOURCES
from fieldline.secrets.wanted import Wanted


class ForeignError(FieldlineError):
    """The files are there, and are somebody else's."""


@dataclass
class Request:
    """What shall be done beyond completing what is missing."""

    recipients: tuple[str, ...] = ()
    """Further administrators, by their public keys."""
    removed: tuple[str, ...] = ()
    """Administrators who shall read no longer."""
    replace: bool = False
    """Begin anew, whatever is there."""
    drop: bool = False
    """Remove what the site no longer names."""
    provided: Mapping[str, str] = field(default_factory=dict)
    """Values that somebody gives."""
    renew: frozenset[str] = frozenset()
    """Secrets that get another value than they have."""
    prove: bool = True
    """Decrypt everything even if nothing is to be done."""


@dataclass
class Report:
    """What was done. No value is in it."""

    changed: list[str] = field(default_factory=list)
    """Files, relative to the plant's folder's secrets/ (and `.sops.yaml`)."""
    made: list[str] = field(default_factory=list)
    """Secrets with a value that they had not before."""
    dropped: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """Secrets that somebody must give."""
    admins: list[str] = field(default_factory=list)
    new_admin_key: bool = False


@dataclass
class Keeper:
    """The secrets of a site in a folder, with an administrator's key."""

    tree: Tree
    wanted: Wanted
    tools: Tools
    key_file: Path
    ask: Callable[[str], str | None] = lambda _: None
    """Asks for a given value; None: not now."""
    say: Callable[[str], None] = lambda _: None

    def keep(self, request: Request) -> Report:
        """Complete what is missing and do what is requested; all of it or nothing.

        Raises:
            ForeignError: what is there is not readable with this key, and `replace` is not set.
            FieldlineError: a program or the disk refuses.
        """
        with self.tree.alone():
            present = self.tree.files()
            fresh = request.replace or not present
            report = Report()
            if not fresh and not self.key_file.exists():
                raise self.foreign(f"{self.key_file} does not exist")
            report.new_admin_key = ensure_key_file(self.tools, self.key_file)
            me = recipient_of(self.tools, read_key_file(self.key_file))
            work = _Work(self, request, report, me, fresh)
            return work.run()

    def foreign(self, cause: str) -> ForeignError:
        """The error for files of somebody else."""
        return ForeignError(
            f"The secrets in {self.tree.folder} are somebody else's: the key {self.key_file} does"
            " not open them. Name the right key with --admin-key; or, to begin with secrets of"
            " your own in place of these: fieldline secrets init --replace.",
            cause,
        )


class _Work:
    """One run of `keep`, with the folder's lock held."""

    def __init__(
        self, keeper: Keeper, request: Request, report: Report, me: str, fresh: bool
    ) -> None:
        self.keeper, self.request, self.report = keeper, request, report
        self.tree, self.wanted, self.tools = keeper.tree, keeper.wanted, keeper.tools
        self.sops = Sops(keeper.tools, keeper.key_file)
        self.me, self.fresh = me, fresh
        self.documents: dict[str, Document] = {} if fresh else self.tree.documents()
        self.rules = None if fresh else self.tree.rules()
        self._contents: dict[str, dict[str, str]] = {}
        self.made: dict[str, str] = {}

    # -- what is there ----------------------------------------------------------------------------

    def content(self, file: str) -> dict[str, str]:
        """The values of a file as it was before this run."""
        if file not in self.documents:
            return {}
        if file not in self._contents:
            self._contents[file] = self.sops.decrypt(self.tree.path(file))
        return self._contents[file]

    def current(self, name: str) -> str | None:
        """The value that a secret has, wherever it stands."""
        for file, document in self.documents.items():
            if name in document.names:
                return self.content(file)[name]
        return None

    def _check_mine(self) -> None:
        """ForeignError unless the administrator's key opens what is there."""
        if self.fresh:
            return
        admin = self.documents.get(ADMIN)
        if admin is None or self.rules is None:
            lacking = FILE if admin else f"secrets/{ADMIN}"
            raise FieldlineError(
                f"Bring {lacking} back (git): without it the others cannot be kept. Or begin anew"
                " with `fieldline secrets init --replace`.",
                f"{self.tree.folder} has no {lacking}",
            )
        for document in self.documents.values():
            if self.me not in document.recipients:
                readers = ", ".join(sorted(admin.recipients))
                raise self.keeper.foreign(f"{self.me} is not among its readers: {readers}")

    # -- what shall be there ----------------------------------------------------------------------

    def _admins(self) -> tuple[str, ...]:
        known = self.rules.admins if self.rules else ()
        admins = dict.fromkeys([*known, self.me, *self.request.recipients])
        for recipient in self.request.removed:
            if recipient == self.me:
                raise FieldlineError(
                    "Another administrator must remove this one: the key in use is its own."
                )
            if recipient not in admins:
                raise FieldlineError(f"{recipient} is no administrator: nothing to remove.")
            del admins[recipient]
        return tuple(admins)

    def _hosts(self) -> set[str]:
        """The hosts that have a file: the site's, and older ones until they are dropped."""
        hosts = set(self.wanted.hosts)
        if not self.request.drop:
            hosts |= {host for file in self.documents if (host := host_of(file))}
        return hosts

    def _names(self) -> dict[str, set[str]]:
        """File → the secrets that shall be in it."""
        names = {file: set(secrets) for file, secrets in self.wanted.files().items()}
        names[ADMIN] = {CONSOLE} | {HOST_KEY + host for host in self._hosts()}
        if not self.request.drop:
            placed = {name for secrets in names.values() for name in secrets}
            for file, document in self.documents.items():
                # What the site does not name stays, unless it has moved to another file.
                names.setdefault(file, set()).update(set(document.names) - placed)
        return names

    def value(self, name: str) -> str | None:
        """The value that a secret shall have; None if somebody must give it."""
        if name in self.made:
            return self.made[name]
        source = SOURCES.get(name)
        # First, since a new one changes what follows from it.
        origin = self.value(source) if source else None
        value = None if name in self.request.renew else self.current(name)
        if name in self.request.provided:
            value = self.request.provided[name]
        elif source and (value is None or source in self.made):
            assert origin is not None
            value = values.compute(self.tools, name, origin)
        elif value is None and values.is_given(name):
            value = self.keeper.ask(name)
        elif value is None:
            value = values.generate(self.tools, name)
        if value is not None and (value != self.current(name) or name in self.request.renew):
            self.made[name] = value
        return value

    # -- doing it ---------------------------------------------------------------------------------

    def run(self) -> Report:
        """Find what differs, change it in a copy, put the copy into place."""
        self._check_mine()
        admins = self._admins()
        self.report.admins = list(admins)
        known = dict(self.rules.hosts) if self.rules else {}
        keys = {host: known.get(host, "") for host in self._hosts()}
        for host in keys:
            name = HOST_KEY + host
            has = ADMIN in self.documents and name in self.documents[ADMIN].names
            if not keys[host] or not has or name in self.request.renew:
                keys[host] = recipient_of(self.tools, str(self.value(name)))
        target = Rules(admins, keys, self.wanted.sharing)
        # A shared file goes as soon as nobody shares: then no host could read it.
        readers = target.recipients()
        names = {file: secrets for file, secrets in self._names().items() if file in readers}
        if self._is_complete(target, names):
            if self.request.prove:
                self._prove(self.tree, target, list(self.documents))
            return self.report
        with self.tree.stage(empty=self.fresh) as staged:
            (staged.folder / FILE).write_text(target.text())
            for file, secrets in names.items():
                self._bring(staged, file, secrets, target)
            for file in sorted(set(staged.files()) - set(names)):
                staged.path(file).unlink()
                self.report.dropped.append(file)
            self.report.dropped += self._lost(names)
            changed = [file for file in staged.files() if self._differs(staged, file)]
            self._prove(staged, target, changed)
            self.report.changed = self.tree.commit(staged)
        self.report.made = sorted(self.made)
        return self.report

    def _is_complete(self, target: Rules, names: Mapping[str, set[str]]) -> bool:
        if self.fresh or self.rules is None or self.request.provided or self.request.renew:
            return False
        if (self.tree.folder / FILE).read_text() != target.text() or self.made:
            return False
        recipients = target.recipients()
        if names.keys() != self.documents.keys():
            return False
        for file, document in self.documents.items():
            lacking = names[file] - set(document.names)
            # A value that nobody has given yet is asked for again, and told again.
            if lacking or set(document.names) - names[file]:
                return False
            if set(recipients[file]) != document.recipients:
                return False
        return True

    def _bring(self, staged: Tree, file: str, secrets: set[str], target: Rules) -> None:
        """Make one file of the copy what it shall be."""
        found = {name: self.value(name) for name in sorted(secrets)}
        given = {name: value for name, value in found.items() if value is not None}
        self.report.missing += [name for name, value in found.items() if value is None]
        document = self.documents.get(file)
        self.keeper.say(f"encrypting {file}")
        if document is None:
            self.sops.create(staged, file, given)
            return
        recipients = set(target.recipients()[file])
        if recipients != document.recipients:
            gone = document.recipients - recipients
            self.sops.update_keys(staged, file, anew=bool(gone))
        path = staged.path(file)
        for name, value in given.items():
            if name not in document.names or name in self.made:
                self.sops.set(path, name, value)
        for name in set(document.names) - secrets:
            self.sops.unset(path, name)

    def _lost(self, names: Mapping[str, set[str]]) -> list[str]:
        """The secrets that were in a file and are in none now."""
        before = {name for document in self.documents.values() for name in document.names}
        return sorted(before - {name for secrets in names.values() for name in secrets})

    def _differs(self, staged: Tree, file: str) -> bool:
        before = self.tree.path(file)
        same = before.is_file() and before.read_bytes() == staged.path(file).read_bytes()
        return not same

    def _prove(self, tree: Tree, target: Rules, files: list[str]) -> None:
        """Open files as the administrator, and hosts' files as the host will."""
        keys = self.sops.decrypt(tree.path(ADMIN))
        for file in files:
            self.keeper.say(f"checking {file}")
            self.sops.decrypt(tree.path(file))
            host = host_of(file)
            if host is None:
                continue
            key = keys.get(HOST_KEY + host, "")
            if not key or recipient_of(self.tools, key) != target.hosts[host]:
                raise FieldlineError(
                    f"Give {host} a key anew, with `fieldline secrets rotate {HOST_KEY}{host}`:"
                    f" the one in {ADMIN} is not the one in {FILE}."
                )
            decrypt_with(self.tools, tree.path(host_file(host)), key)


def console_hash_fits(sops: Sops, tree: Tree) -> bool:
    """Whether the hash that the hosts get is that of the console's password."""
    password = sops.decrypt(tree.path(ADMIN)).get(CONSOLE)
    for file, document in tree.documents().items():
        if CONSOLE_HASH in document.names:
            value = sops.decrypt(tree.path(file))[CONSOLE_HASH]
            return password is not None and values.is_hash_of(sops.tools, value, password)
    return True
