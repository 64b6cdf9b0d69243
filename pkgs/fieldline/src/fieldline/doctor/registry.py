"""All checks, in the order in which they are shown."""

from __future__ import annotations

from fieldline.doctor.backup import backup
from fieldline.doctor.certificates import certificates
from fieldline.doctor.clocks import clocks
from fieldline.doctor.disk import disk
from fieldline.doctor.finding import Check
from fieldline.doctor.influxdb import influxdb
from fieldline.doctor.kafka import kafka
from fieldline.doctor.ports import ports
from fieldline.doctor.retention import retention
from fieldline.doctor.secrets import secrets
from fieldline.doctor.units import units
from fieldline.doctor.versions import versions

CHECKS: tuple[Check, ...] = (
    Check("units", "each unit of this host runs, and is not restarted often", units),
    Check("ports", "each declared port answers, where this host may reach it", ports),
    Check("clocks", "NTP here, the other hosts' clocks, source times in the future", clocks),
    Check("disk", "space where services write", disk),
    Check("retention", "what is kept, at the declared rates, fits the disk", retention),
    Check("kafka", "topics as declared; groups have members, keep up, fit the log", kafka),
    Check("influxdb", "bucket and retention as declared", influxdb),
    Check("secrets", "what units are given is there", secrets),
    Check("certificates", "validity of certificates", certificates),
    Check("backup", "how old the last backup is", backup),
    Check("versions", "what runs where", versions),
)
