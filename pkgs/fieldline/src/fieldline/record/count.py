"""How many values each variable has in intervals of time, for all variables at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fieldline.record.archive import Archive
from fieldline.record.segment import Segment

# OPC UA's severities: the upper two bits of a status code (OPC 10000-4, StatusCode).
SEVERITY_BITS = 30
GOOD, UNCERTAIN, BAD = 0, 1, 2
SEVERITIES = 3


def count(archive: Archive, edges: NDArray[np.int64], variables: int) -> NDArray[np.int64]:
    """Count the values in the intervals [edges[i], edges[i + 1]).

    Args:
        archive: refreshed.
        edges: source times, rising; shape (intervals + 1,).
        variables: how many the archive is asked for.
    Returns:
        shape (SEVERITIES, intervals, variables).
    """
    counts = np.zeros((SEVERITIES, len(edges) - 1, variables), np.int64)
    for segment in archive.segments(int(edges[0]), int(edges[-1])):
        assert segment.layout is not None
        found = _of_segment(archive, segment, edges)
        listed = np.flatnonzero(segment.layout.place >= 0)
        counts[:, :, listed] += found[:, :, segment.layout.place[listed]]
    return counts


def _of_segment(archive: Archive, segment: Segment, edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """The counts of all variables that the segment lists."""
    assert segment.layout is not None
    intervals, listed = len(edges) - 1, segment.layout.variables
    counts = np.zeros(SEVERITIES * intervals * listed, np.int64)
    for number in archive.blocks(segment, int(edges[0]), int(edges[-1])):
        first, last = archive.span(segment, number)
        if last < edges[0] or first >= edges[-1]:
            continue
        entries = archive.entries(segment, number)
        time = entries["time"]
        inside = segment.right(entries) & (time >= edges[0]) & (time < edges[-1])
        if not inside.all():
            entries = entries[inside]
        cell = entries["variable"].astype(np.int64)
        if intervals > 1:
            cell += (np.searchsorted(edges, entries["time"], "right") - 1) * listed
        severity = np.minimum(entries["status"] >> SEVERITY_BITS, BAD)
        cell += severity.astype(np.int64) * (intervals * listed)
        counts += np.bincount(cell, minlength=len(counts))
    return counts.reshape(SEVERITIES, intervals, listed)
