"""How values lie in InfluxDB: names of measurements, fields and tags, and the quality's text.

`opc_server` has one field per variable, named as the variable, a field `Quality`, and the tags
`asset` and `id` (node id); `model` has the fields `value` and `revision` and the tags `name` and
`asset`. Time is the source time in ns. Source: the design's "Records"; Telegraf's opcua_listener.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fieldline.messages import quality_code

OPC_MEASUREMENT: Final = "opc_server"
QUALITY_FIELD: Final = "Quality"
MODEL_MEASUREMENT: Final = "model"
MODEL_FIELD: Final = "value"

# Telegraf's text of the status 0 (gopcua's words), which nearly every value has.
GOOD_QUALITY: Final = "The operation succeeded. StatusGood (0x0)"

# Fields of `opc_server` that are no variable; Telegraf adds DataType where it is asked to.
OTHER_FIELDS: Final = (QUALITY_FIELD, "DataType")

# OPC UA part 4, 7.39: the two highest bits of a status code are its severity: 00 good, 01
# uncertain, 10 bad (11 is reserved and treated as bad).
BAD_STATUS: Final = 0x80000000

# Such statuses, as the quality's text ends: what a model never uses. A pattern of InfluxQL.
BAD_QUALITY: Final = r"/0[xX][89A-Fa-f][0-9A-Fa-f]{7}\)?$/"

# The status of a quality that is missing or has no code: a bad one that no server sends, so that
# it never equals a record's.
UNKNOWN_STATUS: Final = 0xFFFFFFFF


def status_of_quality(text: str | None) -> int:
    """The status code in `The operation succeeded. StatusGood (0x0)`, or `UNKNOWN_STATUS`."""
    code = quality_code(text) if text else None
    return UNKNOWN_STATUS if code is None else code


def is_usable(status: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Which statuses are Good or Uncertain, so that models use their values; any shape."""
    usable: NDArray[np.bool_] = status < np.uint32(BAD_STATUS)
    return usable
