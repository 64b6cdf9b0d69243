"""The record: what an OPC UA server produced, kept on its disk for later checks."""

from fieldline.record.archive import Archive, Damage
from fieldline.record.client import fetch_record
from fieldline.record.count import count
from fieldline.record.format import RecordFormatError, RecordTable, RecordVariable
from fieldline.record.newest import Newest, fetch_newest
from fieldline.record.reader import read, read_directory, size_bytes
from fieldline.record.routes import record_routes
from fieldline.record.select import Position, Selection, select
from fieldline.record.writer import RecordWriter

__all__ = [
    "Archive",
    "Damage",
    "Newest",
    "Position",
    "RecordFormatError",
    "RecordTable",
    "RecordVariable",
    "RecordWriter",
    "Selection",
    "count",
    "fetch_newest",
    "fetch_record",
    "read",
    "read_directory",
    "record_routes",
    "select",
    "size_bytes",
]
