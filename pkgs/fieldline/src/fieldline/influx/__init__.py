"""InfluxDB 2 over HTTP: what provisioning, verification and the view of the hops share."""

from fieldline.influx.client import InfluxClient, InfluxRefusedError, InfluxUnreachableError
from fieldline.influx.layout import BAD_STATUS, is_usable, status_of_quality
from fieldline.influx.series import Series, read_series

__all__ = [
    "BAD_STATUS",
    "InfluxClient",
    "InfluxRefusedError",
    "InfluxUnreachableError",
    "Series",
    "is_usable",
    "read_series",
    "status_of_quality",
]
