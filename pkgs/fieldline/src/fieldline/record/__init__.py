"""The record: what an OPC UA server produced, kept on its disk for later checks."""

from fieldline.record.client import fetch_record
from fieldline.record.format import RecordFormatError, RecordTable, RecordVariable
from fieldline.record.newest import Newest, fetch_newest
from fieldline.record.reader import read, read_directory
from fieldline.record.routes import record_routes
from fieldline.record.writer import RecordWriter

__all__ = [
    "Newest",
    "RecordFormatError",
    "RecordTable",
    "RecordVariable",
    "RecordWriter",
    "fetch_newest",
    "fetch_record",
    "read",
    "read_directory",
    "record_routes",
]
