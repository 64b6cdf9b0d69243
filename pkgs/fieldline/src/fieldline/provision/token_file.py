"""Token files: written whole or not at all, readable to root only."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from fieldline.errors import FieldlineError

# Units get a token by LoadCredential, which reads it as root; nobody else has to.
MODE = 0o400


def read(path: Path) -> str | None:
    """The token in `path`, or None if there is no such file or it is empty.

    Raises:
        FieldlineError: it is there, but cannot be read.
    """
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        # Not a token: to be replaced like one that is no longer valid.
        return None
    except OSError as error:
        raise FieldlineError(f"Run this as root: {path} cannot be read.", str(error)) from None
    return text or None


def write(path: Path, token: str) -> None:
    """Replace `path` by a file with this token, mode 0400, so that no reader sees half of it.

    Raises:
        FieldlineError: it cannot be written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # mkstemp gives a new file that only this user can open (0600), under a name of its own.
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w") as file:
                os.fchmod(file.fileno(), MODE)
                file.write(token)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise FieldlineError(f"Make {path} writable to this user.", str(error)) from None


def restrict(path: Path) -> bool:
    """Set the mode of an existing token file, and tell whether it was another one."""
    if stat.S_IMODE(path.stat().st_mode) == MODE:
        return False
    path.chmod(MODE)
    return True
