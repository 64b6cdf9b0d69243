"""OPC UA status codes that this server gives.

Source: OPC 10000-4, 7.39 (StatusCode), and OPC 10000-8, annex on status codes for data access.
The upper two bits are the severity: 00 Good, 01 Uncertain, 10 Bad.
"""

from __future__ import annotations

from opc_server.opcua import StatusCodes

GOOD = int(StatusCodes.Good)
# The value is right as far as is known, its time is not.
UNCERTAIN = int(StatusCodes.Uncertain)
# A recording has come to its end: what wrote this value has stopped doing so.
UNCERTAIN_LAST_USABLE = int(StatusCodes.UncertainLastUsableValue)
# The sensor's file is not there, or reading it does not come back.
BAD_NO_COMMUNICATION = int(StatusCodes.BadNoCommunication)
# The sensor's file is there; what it gives is an error or no number.
BAD_SENSOR_FAILURE = int(StatusCodes.BadSensorFailure)
# The sensor's file may not be read by this service.
BAD_CONFIGURATION = int(StatusCodes.BadConfigurationError)
# The recording has no value yet at this position.
BAD_NO_DATA = int(StatusCodes.BadNoDataAvailable)

SEVERITY = 0xC000_0000
BAD = 0x8000_0000
