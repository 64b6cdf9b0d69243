"""The formats of the Kafka records: what is read from `opc`, what is written to `model`.

One place for the names of headers, the version and the codecs, for every reader and writer.
"""

from fieldline.messages.dead_letter import DeadLetterOrigin, dead_letter_headers, read_origin
from fieldline.messages.headers import FORMAT, FORMAT_HEADER, FORMAT_HEADERS, Headers
from fieldline.messages.model import ModelResult, decode_result, encode_result
from fieldline.messages.opc import MessageError, OpcValue, decode_opc
from fieldline.messages.quality import Severity, quality_code, severity

__all__ = [
    "FORMAT",
    "FORMAT_HEADER",
    "FORMAT_HEADERS",
    "DeadLetterOrigin",
    "Headers",
    "MessageError",
    "ModelResult",
    "OpcValue",
    "Severity",
    "dead_letter_headers",
    "decode_opc",
    "decode_result",
    "encode_result",
    "quality_code",
    "read_origin",
    "severity",
]
