"""OPC UA status codes that stand for a fault, in plain words.

Source: OPC 10000-4, 7.39 (StatusCode), and OPC 10000-8, annex on status codes for data access.
"""

from __future__ import annotations

BAD_NODE_ID_UNKNOWN = 0x80340000

# The upper 16 bits are the code; the lower ones tell of limits and overflows.
_NAMES: dict[int, tuple[str, str]] = {
    0x8000: ("Bad", "the server gives no reason"),
    0x8031: ("BadNoCommunication", "the sensor or device cannot be reached"),
    0x8032: ("BadWaitingForInitialData", "the source has not given a first value yet"),
    0x8033: ("BadNodeIdInvalid", "the node id is not valid"),
    0x8034: ("BadNodeIdUnknown", "the server does not know the node id"),
    0x803C: ("BadOutOfRange", "the value is out of its range"),
    0x801F: ("BadUserAccessDenied", "the user may not read it"),
    0x8089: ("BadConfigurationError", "the source is configured wrongly, or may not be read"),
    0x808A: ("BadNotConnected", "the source is not connected"),
    0x808B: ("BadDeviceFailure", "the device has failed"),
    0x808C: ("BadSensorFailure", "the sensor has failed"),
    0x808D: ("BadOutOfService", "the source is out of service"),
    0x809B: ("BadNoData", "there is no data"),
    0x809D: ("BadDataLost", "data was lost"),
    0x809E: ("BadDataUnavailable", "data is not available"),
    0x80B1: ("BadNoDataAvailable", "the source has no data at this time"),
}


def status_words(code: int) -> tuple[str, str]:
    """Name and meaning of a status code; the name of one that is not known is its number."""
    return _NAMES.get(code >> 16, (f"0x{code:08X}", "see OPC 10000-4, StatusCode"))
