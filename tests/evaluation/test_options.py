"""The reference of the modules' options is complete, and the committed page is what they say."""

import re

from . import nix_eval

PAGE = nix_eval.ROOT / "docs/options.md"
# Nobody but the plant can know these.
WITHOUT_DEFAULT = {
    "fieldline.host",
    "fieldline.platform",
    "fieldline.secrets.folder",
    "fieldline.site",
}


def reference() -> str:
    text: str = nix_eval.expression("e.outputs.lib.optionsReference")
    return text


def test_page_is_what_the_modules_say() -> None:
    assert PAGE.read_text() == reference(), "run `make options`, and commit docs/options.md"


def test_every_option_is_described() -> None:
    sections = re.split(r"^## ", reference(), flags=re.MULTILINE)[1:]
    assert len(sections) > 10
    without_default = set()
    for section in sections:
        name = section.split("`")[1]
        assert name.startswith("fieldline.")
        assert len(section.splitlines()[1]) > 20, f"{name}: say what it is for"
        assert "- type: `" in section, name
        assert "unspecified" not in section, f"{name}: give it a type"
        assert "- example: " in section, name
        if "- default: " not in section:
            without_default.add(name)
    assert without_default == WITHOUT_DEFAULT
