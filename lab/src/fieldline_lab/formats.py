"""Files of a host, from data to text."""

import json
from collections.abc import Mapping
from typing import Any

import tomli_w
from fieldline.errors import FieldlineError

from .declaration import File


def render(file: File, path: str) -> str:
    """The file's text. `path` is for the error only."""
    try:
        match file.format:
            case "text":
                return str(file.value)
            case "toml":
                return _toml(file.value)
            # JSON is YAML too, and needs no second writer.
            case "json" | "yaml":
                return json.dumps(file.value, indent=2, ensure_ascii=False) + "\n"
            case "properties":
                return "".join(
                    f"{_escape(key, is_key=True)}={_escape(scalar(value))}\n"
                    for key, value in sorted(file.value.items())
                )
            case "ini":
                return _ini(file.value)
    except (TypeError, ValueError, AttributeError) as error:
        raise FieldlineError(
            f"The value of {path} cannot be written as {file.format}.", str(error)
        ) from error
    raise FieldlineError(f"{path} has the format {file.format!r}, which the lab does not know.")


def _toml(value: Mapping[str, Any], path: tuple[str, ...] = ()) -> str:
    """TOML with each table under a header of its own.

    tomli-w writes a short array of tables in line, which Telegraf takes for no plugin at all,
    without a word.
    """
    tables = {key: entry for key, entry in value.items() if isinstance(entry, Mapping)}
    arrays = {
        key: entry
        for key, entry in value.items()
        if isinstance(entry, list) and entry and all(isinstance(one, Mapping) for one in entry)
    }
    plain = {key: entry for key, entry in value.items() if key not in tables | arrays}
    text = tomli_w.dumps(plain)
    for key, entry in tables.items():
        text += f"\n[{_toml_key(*path, key)}]\n{_toml(entry, (*path, key))}"
    for key, entries in arrays.items():
        for one in entries:
            text += f"\n[[{_toml_key(*path, key)}]]\n{_toml(one, (*path, key))}"
    return text


def _toml_key(*parts: str) -> str:
    """A dotted key, quoted where it must be."""
    return ".".join(tomli_w.dumps({part: 0}).removesuffix(" = 0\n") for part in parts)


def scalar(value: Any) -> str:
    """A value as text: booleans in lower case, lists with commas, as nixpkgs writes them."""
    match value:
        case bool():
            return "true" if value else "false"
        case list():
            return ",".join(scalar(entry) for entry in value)
        case str() | int():
            return str(value)
        case None:
            return ""
    raise TypeError(f"{value!r} is no text, number, boolean or list")


def _escape(text: str, *, is_key: bool = False) -> str:
    """Text as java.util.Properties reads it back."""
    result = []
    for position, character in enumerate(text):
        if character == "\\" or (is_key and character in " :=#!"):
            result.append("\\" + character)
        elif character == " " and position == 0:
            result.append("\\ ")
        elif character in "\t\n\r\f":
            result.append({"\t": "\\t", "\n": "\\n", "\r": "\\r", "\f": "\\f"}[character])
        elif not " " <= character <= "~":
            units = character.encode("utf-16-be")
            result += [f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2)]
        else:
            result.append(character)
    return "".join(result)


def _ini(value: Mapping[str, Any]) -> str:
    """Sections with keys; keys outside a section come first, as the format demands."""
    loose = {key: entry for key, entry in value.items() if not isinstance(entry, Mapping)}
    sections = {key: entry for key, entry in value.items() if isinstance(entry, Mapping)}
    blocks = [_keys(loose)] if loose else []
    blocks += [f"[{name}]\n{_keys(entry)}" for name, entry in sorted(sections.items())]
    return "\n".join(blocks)


def _keys(value: Mapping[str, Any]) -> str:
    lines = []
    for key, entry in sorted(value.items()):
        text = scalar(entry)
        if "\n" in text or "\n" in key:
            raise ValueError(f"{key}: a line break cannot be written")
        lines.append(f"{key} = {text}\n")
    return "".join(lines)
