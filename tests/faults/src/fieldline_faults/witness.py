"""What was published: the OPC UA server's witness, read from its host's disk.

The disk holds an entry before anybody can be told of it, so whatever happens to the server, and to
all behind it, this is what has to be accounted for. It is read as a file: no service is asked.
"""

from pathlib import Path

import numpy as np
from fieldline.errors import FieldlineError
from fieldline.record import read_directory
from fieldline.record.format import ENTRY, decode_header
from fieldline.record.reader import list_segments
from fieldline.verify.catalogue import Catalogue
from fieldline.verify.points import Ints, Points, points


class Witness:
    """The witness in `directory`, by the catalogue's indices."""

    def __init__(self, directory: Path, catalogue: Catalogue) -> None:
        self._directory = directory
        self._catalogue = catalogue
        # How far each segment was followed, and the indices of its variables.
        self._followed: dict[Path, tuple[int, Ints]] = {}
        self._newest = np.zeros(len(catalogue.variables), np.int64)

    def points(self, since: int | None = None, until: int | None = None) -> Points:
        """Everything with a source time in [since, until), in the order of writing.

        Raises:
            FieldlineError: there is no witness, or it has what the site does not declare.
        """
        try:
            table = read_directory(self._directory, since, until)
        except OSError as error:
            raise _none(self._directory, error) from error
        index = np.array(
            [self._index(v.asset, v.variable) for v in table.variables] or [0], np.int64
        )
        return points(index[table.variable], table.time, table.value, table.status)

    def newest(self) -> Ints:
        """The newest source time of each variable, ns, 0 where there is none; shape (variables,).

        Reads only what was appended since the last call: it is asked several times a second.
        """
        try:
            segments = list_segments(self._directory)
        except OSError as error:
            raise _none(self._directory, error) from error
        for path in segments:
            self._follow(path)
        return self._newest.copy()

    def _follow(self, path: Path) -> None:
        with path.open("rb") as file:
            if path not in self._followed:
                header = decode_header(file.read())
                if header is None:
                    return
                index = np.array([self._index(v.asset, v.variable) for v in header[0]], np.int64)
                self._followed[path] = (header[1], index)
            offset, index = self._followed[path]
            file.seek(offset)
            data = file.read()
        count = len(data) // ENTRY.itemsize
        entries = np.frombuffer(data, ENTRY, count)
        # After a power cut a file system may show zeros where the last entries should be.
        written = entries[entries["time"] > 0]
        np.maximum.at(self._newest, index[written["variable"]], written["time"])
        self._followed[path] = (offset + count * ENTRY.itemsize, index)

    def _index(self, asset: str, variable: str) -> int:
        try:
            return self._catalogue.variable_index[asset, variable]
        except KeyError:
            raise FieldlineError(
                f"The witness has {asset}/{variable}, which the faults' site does not declare."
            ) from None


def _none(directory: Path, error: OSError) -> FieldlineError:
    return FieldlineError(f"There is no witness in {directory}.", str(error))
