"""sops, as this uses it: on YAML files with flat keys, every value through a pipe."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fieldline.errors import FieldlineError
from fieldline.secrets.rules import FILE
from fieldline.secrets.tools import Tools, in_memory, run
from fieldline.secrets.tree import FOLDER, Tree

# sops reads keys from several places. It shall find the one that it is given, and not be helped by
# another that happens to lie in somebody's home.
_NOWHERE = {"HOME": "/nonexistent", "XDG_CONFIG_HOME": "/nonexistent"}


@dataclass(frozen=True)
class Sops:
    """sops with a key file."""

    tools: Tools
    key_file: Path

    @property
    def _environment(self) -> dict[str, str]:
        return {**_NOWHERE, "SOPS_AGE_KEY_FILE": str(self.key_file)}

    def decrypt(self, path: Path) -> dict[str, str]:
        """All values of a file.

        Raises:
            FieldlineError: the key does not open it, or it was changed by another hand.
        """
        return _decrypt(self.tools, path, self._environment)

    def create(self, tree: Tree, file: str, values: Mapping[str, str]) -> None:
        """Write a new file, for whom the tree's `.sops.yaml` names."""
        argv = [self.tools.sops, "--config", FILE, "encrypt"]
        argv += ["--filename-override", f"{FOLDER}/{file}", "--input-type", "json"]
        argv += ["--output-type", "yaml", "/dev/stdin"]
        text = run(
            argv,
            f"sops cannot encrypt {file}.",
            stdin=json.dumps(dict(sorted(values.items()))),
            environment=self._environment,
            cwd=tree.folder,
        )
        tree.path(file).write_text(text)

    def set(self, path: Path, name: str, value: str) -> None:
        """Change or add one value; the ciphertext of the others stays as it is."""
        argv = [self.tools.sops, "set", "--value-stdin", str(path), f'["{name}"]']
        run(
            argv,
            f"sops cannot set {name} in {path.name}.",
            stdin=json.dumps(value),
            environment=self._environment,
        )

    def unset(self, path: Path, name: str) -> None:
        """Remove a value."""
        argv = [self.tools.sops, "unset", str(path), f'["{name}"]']
        what = f"sops cannot remove {name} from {path.name}."
        run(argv, what, environment=self._environment)

    def update_keys(self, tree: Tree, file: str, *, anew: bool) -> None:
        """Let in whom `.sops.yaml` names, and nobody else.

        Args:
            anew: encrypt all values with a new data key: somebody who was removed has the old one.
        """
        start = [self.tools.sops, "--config", FILE]
        path = f"{FOLDER}/{file}"
        what = f"sops cannot change who reads {file}."
        environment = self._environment
        run([*start, "updatekeys", "--yes", path], what, environment=environment, cwd=tree.folder)
        if anew:
            argv = [*start, "rotate", "--in-place", path]
            run(argv, what, environment=environment, cwd=tree.folder)


def decrypt_with(tools: Tools, path: Path, key: str) -> dict[str, str]:
    """All values of a file, with a private key that is in no file.

    Raises:
        FieldlineError: the key does not open it.
    """
    with in_memory(key + "\n") as (key_file, descriptor):
        environment = {**_NOWHERE, "SOPS_AGE_KEY_FILE": key_file}
        return _decrypt(tools, path, environment, descriptor)


def _decrypt(
    tools: Tools, path: Path, environment: dict[str, str], *descriptors: int
) -> dict[str, str]:
    text = run(
        [tools.sops, "decrypt", "--input-type", "yaml", "--output-type", "json", str(path)],
        f"{path} is not readable with this key.",
        environment=environment,
        descriptors=descriptors,
    )
    value = json.loads(text)
    if not isinstance(value, dict) or not all(isinstance(entry, str) for entry in value.values()):
        raise FieldlineError(
            f"{path} holds more than names and texts; put it right with `fieldline secrets edit`."
        )
    return value
