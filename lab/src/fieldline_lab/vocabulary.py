"""What a scenario may use, so that it means the same on lab hosts and in NixOS VM tests.

The rule is in docs and design; this holds it: methods of the hosts, globals, commands inside the
hosts, imports. `stub` is the text that lets mypy and pyflakes check a scenario.
"""

import ast
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# Where a command stands among a method's arguments; None for a method that is given none.
METHODS: dict[str, str | None] = {
    "start": None,
    "shutdown": None,
    "crash": None,
    "block": None,
    "unblock": None,
    "succeed": "all",
    "fail": "all",
    "execute": "first",
    "wait_until_succeeds": "first",
    "wait_until_fails": "first",
    "wait_for_unit": None,
    "wait_for_open_port": None,
    "wait_for_file": None,
    "systemctl": None,
}
# Further arguments by keyword that both drivers know.
KEYWORDS = {"timeout", "check_return", "addr", "command", "unit", "port", "filename", "q"}
GLOBALS = ("start_all", "subtest")

# coreutils 9.1, and what a POSIX shell has built in.
_COREUTILS = """
    [ arch b2sum base32 base64 basename basenc cat chcon chgrp chmod chown chroot cksum comm cp
    csplit cut date dd df dir dircolors dirname du echo env expand expr factor false fmt fold
    groups head hostid id install join link ln logname ls md5sum mkdir mkfifo mknod mktemp mv
    nice nl nohup nproc numfmt od paste pathchk pinky pr printenv printf ptx pwd readlink
    realpath rm rmdir runcon seq sha1sum sha224sum sha256sum sha384sum sha512sum shred shuf sleep
    sort split stat stdbuf stty sum sync tac tail tee test timeout touch tr true truncate tsort
    tty uname unexpand uniq unlink users vdir wc who whoami yes
"""
COREUTILS = frozenset(_COREUTILS.split())
BUILTINS = frozenset({":", "exit", "cd", "export", "set", "unset", "wait", "trap", "read", "kill"})
# Words of the shell's own grammar after which, or instead of which, a command stands.
SHELL_WORDS = frozenset({"!", "if", "then", "else", "elif", "fi", "while", "until", "do", "done"})
SHELL_WORDS |= {"{", "}", "(", ")"}
# What every host has beside these: see docs/decisions/0009 for ssh.
COMMANDS = frozenset({"systemctl", "fieldline", "nft", "ssh", "ssh-keygen"})
# Programs that run another one, given after their own options.
WRAPPERS = frozenset({"env", "nice", "nohup", "timeout", "stdbuf"})


@dataclass(frozen=True)
class Offence:
    """A place where a scenario leaves the vocabulary."""

    line: int
    text: str


class VocabularyError(Exception):
    """A scenario uses what only one of the drivers has."""

    def __init__(self, path: Path, offences: Sequence[Offence]) -> None:
        self.offences = list(offences)
        lines = [f"{path}:{offence.line}: {offence.text}" for offence in offences]
        super().__init__("\n".join(lines))


def check_scenario(path: Path, hosts: Iterable[str], *, prelude: bool = False) -> None:
    """VocabularyError if the file uses more than both drivers have."""
    offences = offences_in(path.read_text(), hosts, prelude=prelude)
    if offences:
        raise VocabularyError(path, offences)


def offences_in(text: str, hosts: Iterable[str], *, prelude: bool = False) -> list[Offence]:
    """Every place where the text leaves the vocabulary, in the order of lines."""
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        return [Offence(error.lineno or 1, f"no Python: {error.msg}")]
    names = {host.replace("-", "_") for host in hosts}
    found = [*_imports(tree, prelude), *_attributes(tree, names), *_calls(tree)]
    found += _private(tree, names)
    return sorted(set(found), key=lambda offence: (offence.line, offence.text))


def _imports(tree: ast.Module, prelude: bool) -> Iterator[Offence]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or "."]
        else:
            continue
        for module in modules:
            if not prelude:
                yield Offence(node.lineno, f"imports {module}: only the prelude imports")
            elif module.partition(".")[0] not in sys.stdlib_module_names:
                yield Offence(
                    node.lineno, f"imports {module}, which is not in the standard library"
                )


def _attributes(tree: ast.Module, hosts: set[str]) -> Iterator[Offence]:
    """Methods of the hosts: an attribute of a host's name, or one only a machine could have."""
    machines = hosts | _names_of_machines(tree, hosts)
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)):
            continue
        if node.value.id in machines and node.attr not in METHODS:
            yield Offence(node.lineno, f"`{node.value.id}.{node.attr}` is not in the vocabulary")


def _names_of_machines(tree: ast.Module, hosts: set[str]) -> set[str]:
    """Names that a loop, an argument or an assignment binds, and on which host methods are called.

    What is bound to a host is not followed through the text: a name counts as a machine if one of
    the vocabulary's methods is called on it anywhere.
    """
    called = {
        node.func.value.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.attr in METHODS
    }
    return called - hosts


def _private(tree: ast.Module, hosts: set[str]) -> Iterator[Offence]:
    """Globals that only one driver has, and built-ins that reach around the vocabulary."""
    forbidden = {
        *("driver", "machines", "vlans", "log", "serial_stdout_on", "serial_stdout_off"),
        *("run_tests", "join_all", "create_machine", "test_script", "retry", "polling_condition"),
        *("exec", "eval", "getattr", "setattr", "open", "__import__", "globals", "vars"),
    } - hosts
    bound = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    bound |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    bound |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in forbidden - bound:
            yield Offence(node.lineno, f"`{node.id}` is not in the vocabulary")


def _calls(tree: ast.Module) -> Iterator[Offence]:
    """The commands and keywords given to the hosts' methods."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        place = METHODS.get(node.func.attr, "")
        if place == "":
            continue
        for keyword in node.keywords:
            if keyword.arg is not None and keyword.arg not in KEYWORDS:
                yield Offence(
                    node.lineno, f"`{node.func.attr}` has no argument {keyword.arg} in both drivers"
                )
        if place is None:
            continue
        arguments = list(node.args if place == "all" else node.args[:1])
        arguments += [word.value for word in node.keywords if word.arg == "command"]
        for argument in arguments:
            yield from _command(argument)


def _command(node: ast.expr) -> Iterator[Offence]:
    text = _text_of(node)
    if text is None:
        # A name or a call: what it holds is not seen here, and so it is not allowed.
        yield Offence(node.lineno, "a command must be written where it is used, as a string")
        return
    try:
        words = list(_command_words(text))
    except ValueError as error:
        yield Offence(node.lineno, f"no shell command ({error}): {text}")
        return
    for word in words:
        if word not in COMMANDS | COREUTILS | BUILTINS:
            yield Offence(node.lineno, f"the command `{word}` is not on both kinds of hosts")


def _text_of(node: ast.expr) -> str | None:
    """A string, with the replaced parts of an f-string as one word."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            parts = [
                value.value if isinstance(value, ast.Constant) else "replaced" for value in values
            ]
            return "".join(str(part) for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            first, second = _text_of(left), _text_of(right)
            return None if first is None or second is None else first + second
    return None


def _command_words(text: str) -> Iterator[str]:
    """The programs that a shell command runs, also inside $(…) and after a pipe."""
    for inner in re.findall(r"\$\(([^()]*)\)", text):
        yield from _command_words(inner)
    text = re.sub(r"\$\(([^()]*)\)", "substituted", text)
    if "`" in text or "<(" in text or "$(" in text:
        raise ValueError("write $(…), and not one within another")
    lexer = shlex.shlex(text.replace("\n", " ; "), posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    lexer.commenters = ""
    expecting = True
    skip = 0
    for word in lexer:
        if skip:
            skip -= 1
        elif not word:
            continue  # An empty argument; no program has such a name.
        elif set(word) <= set(";|&()"):
            expecting = True
        elif set(word) <= set("<>&"):
            skip = 1  # The file of a redirection.
        elif expecting and (word in SHELL_WORDS or re.fullmatch(r"\w+=.*", word, re.DOTALL)):
            continue
        elif expecting and word in WRAPPERS:
            yield word
            # Its own options and a duration come before the program.
            expecting = True
        elif expecting and (word.startswith("-") or re.fullmatch(r"[0-9.]+[smhd]?", word)):
            continue
        elif expecting:
            yield word
            expecting = False


def stub(hosts: Iterable[str]) -> str:
    """Python text that declares a scenario's globals: put before it, mypy can check it."""
    machines = "\n".join(f"{host.replace('-', '_')}: Machine" for host in hosts)
    return f"{_STUB}\n{machines}\n"


_STUB = """\
from contextlib import AbstractContextManager
from typing import Callable, Protocol


class Machine(Protocol):
    name: str

    def start(self) -> None: ...
    def shutdown(self) -> None: ...
    def crash(self) -> None: ...
    def block(self) -> None: ...
    def unblock(self) -> None: ...
    def succeed(self, *commands: str, timeout: int | None = None) -> str: ...
    def fail(self, *commands: str, timeout: int | None = None) -> str: ...
    def execute(
        self, command: str, check_return: bool = True, timeout: int | None = 900
    ) -> tuple[int, str]: ...
    def wait_until_succeeds(self, command: str, timeout: int = 900) -> str: ...
    def wait_until_fails(self, command: str, timeout: int = 900) -> str: ...
    def wait_for_unit(self, unit: str, user: str | None = None, timeout: int = 900) -> None: ...
    def wait_for_open_port(
        self, port: int, addr: str = "localhost", timeout: int = 900
    ) -> None: ...
    def wait_for_file(self, filename: str, timeout: int = 900) -> None: ...
    def systemctl(self, q: str, user: str | None = None) -> tuple[int, str]: ...


start_all: Callable[[], None]
subtest: Callable[[str], AbstractContextManager[None]]


"""
