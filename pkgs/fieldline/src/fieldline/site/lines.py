"""The line of each key of a TOML text, for messages; the text is known to be TOML."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field

from fieldline.site.mistakes import Key, Part

_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|' + r"'''.*?'{3,5}|" + r'"(?:\\.|[^"\\\n])*"|'
    r"'[^'\n]*'|#[^\n]*|\n|[\[\]{}=,.]|[^\s\[\]{}=,.#\"']+",
    re.DOTALL,
)

# Keys below are shown with the line of the table that holds them.
_DEEPEST = 64


@dataclass(slots=True)
class _Container:
    """An open inline list or table, or the statement that holds the value."""

    kind: str
    """`[`, `{`, or nothing for the statement itself."""
    key: Key
    index: int = 0
    parts: list[Part] = field(default_factory=list)
    """The key being read, in an inline table."""
    in_key: bool = False


class Lines:
    """Finds the line of a key; the nearest parent's, if the key itself is not there."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Key, int] = {}
        _Scan(text, self._lines).run()

    def __call__(self, key: Key) -> int:
        """Give the line, from 1; 1 if nothing of the key is there."""
        while key:
            if key in self._lines:
                return self._lines[key]
            key = key[:-1]
        return 1


def _name(token: str) -> str:
    if token[0] in "\"'":
        name = tomllib.loads(f"name = {token}")["name"]
        return str(name)
    return token


class _Scan:
    def __init__(self, text: str, lines: dict[Key, int]) -> None:
        self.tokens = [(m.group(), m.start()) for m in _TOKEN.finditer(text)]
        self.breaks = [m.start() for m in re.finditer("\n", text)]
        self.lines = lines
        self.lists: dict[Key, int] = {}

    def run(self) -> None:
        """Read statement after statement."""
        table: Key = ()
        line, at = 1, 0
        while at < len(self.tokens):
            token = self.tokens[at][0]
            if token == "\n" or token.startswith("#"):
                line += token == "\n"
                at += 1
            elif token == "[":
                at, table = self._header(at + 1, line)
            else:
                at, line = self._statement(at, line, table)

    def _note(self, key: Key, line: int) -> None:
        for length in range(1, min(len(key), _DEEPEST) + 1):
            self.lines.setdefault(key[:length], line)

    def _resolved(self, parts: list[str]) -> Key:
        """The key of a header: a list's name stands for its last item."""
        key: Key = ()
        for part in parts:
            key = (*key, part)
            if key in self.lists:
                key = (*key, self.lists[key])
        return key

    def _header(self, at: int, line: int) -> tuple[int, Key]:
        listed = self.tokens[at][0] == "["
        parts: list[str] = []
        while at < len(self.tokens) and self.tokens[at][0] != "\n":
            token = self.tokens[at][0]
            if token not in "[].":
                if token.startswith("#"):
                    break
                parts.append(_name(token))
            at += 1
        if listed:
            key = (*self._resolved(parts[:-1]), parts[-1])
            self.lists[key] = self.lists.get(key, -1) + 1
            key = (*key, self.lists[key])
        else:
            key = self._resolved(parts)
        self._note(key, line)
        return at, key

    def _statement(self, at: int, line: int, table: Key) -> tuple[int, int]:
        parts: list[Part] = []
        while at < len(self.tokens) and self.tokens[at][0] != "=":
            if self.tokens[at][0] != ".":
                parts.append(_name(self.tokens[at][0]))
            at += 1
        self._note((*table, *parts), line)
        stack = [_Container("", (*table, *parts))]
        at += 1
        while at < len(self.tokens):
            token = self.tokens[at][0]
            if token == "\n" and len(stack) == 1:
                break
            self._value(token, stack, line)
            line += token.count("\n")
            at += 1
        return at, line

    def _value(self, token: str, stack: list[_Container], line: int) -> None:
        top = stack[-1]
        if token == "\n" or token.startswith("#"):
            return
        if token in "]}":
            stack.pop()
        elif token == "," and top.kind:
            top.index += 1
            top.parts, top.in_key = [], top.kind == "{"
        elif token == "=" and top.in_key:
            self._note((*top.key, *top.parts), line)
            top.in_key = False
        elif top.in_key:
            if token != ".":
                top.parts.append(_name(token))
        else:
            key = top.key
            if top.kind == "[":
                key = (*key, top.index)
                self._note(key, line)
            elif top.kind == "{":
                key = (*key, *top.parts)
            if token in "[{":
                stack.append(_Container(token, key, in_key=token == "{"))
