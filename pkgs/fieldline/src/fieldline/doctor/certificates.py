"""Certificates: how long they are valid."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from fieldline.doctor.context import Context
from fieldline.doctor.finding import Finding

_CERTIFICATE = "/run/secrets/opcua-client-certificate"
_DAYS = 30
_REMEDY = (
    "`fieldline secrets rotate opcua-client-certificate`, install, deploy; then have the OPC UA"
    " servers trust the new one."
)


def certificates(context: Context) -> Iterator[Finding]:
    """The OPC UA client certificate of a collector that connects encrypted."""
    encrypted = {
        server.collector
        for server in context.site.servers.values()
        if server.security_mode != "None"
    }
    if not encrypted:
        yield Finding("OPC UA client certificate", "ok", "no server of the site wants one")
    for host in sorted(encrypted):
        subject = f"OPC UA client certificate of {host}"
        if host != context.here.name:
            yield Finding(subject, "skipped", f"it is on {host} only")
            continue
        try:
            data = context.path(_CERTIFICATE).read_bytes()
        except PermissionError:
            yield Finding(subject, "skipped", "only root may read it: run this as root")
            continue
        except OSError as error:
            yield Finding(subject, "failed", f"it cannot be read: {error}", _REMEDY)
            continue
        yield judge(subject, data, datetime.fromtimestamp(context.now_ns / 1e9, UTC))


def judge(subject: str, data: bytes, now: datetime) -> Finding:
    """A certificate's validity, PEM or DER."""
    # It takes its time to load, and few hosts have a certificate.
    from cryptography import x509

    try:
        pem = data.lstrip().startswith(b"-----")
        load = x509.load_pem_x509_certificate if pem else x509.load_der_x509_certificate
        certificate = load(data)
    except ValueError as error:
        return Finding(subject, "failed", f"it is no certificate: {error}", _REMEDY)
    end = certificate.not_valid_after_utc
    days = (end - now).days
    if now < certificate.not_valid_before_utc:
        text = f"it is valid only from {certificate.not_valid_before_utc:%Y-%m-%d} on"
        return Finding(subject, "failed", text, "See the clock of this host.")
    if days < 0:
        return Finding(subject, "failed", f"it has expired on {end:%Y-%m-%d}", _REMEDY)
    if days < _DAYS:
        return Finding(subject, "warning", f"it expires in {days} d, on {end:%Y-%m-%d}", _REMEDY)
    return Finding(subject, "ok", f"it is valid until {end:%Y-%m-%d}")
