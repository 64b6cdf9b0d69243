"""Sites for these tests, made from the demonstration plant's."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def with_admin(folder: Path, name: str, key: str) -> Path:
    """The demonstration plant with one more admin, in `folder`; the new site's path."""
    text = (ROOT / "site.toml").read_text()
    head, table, tail = text.partition("[admins]\n")
    assert table, "site.toml has no table of admins"
    site = folder / "site.toml"
    site.write_text(f'{head}{table}{name} = ["{key.strip()}"]\n{tail}')
    return site
