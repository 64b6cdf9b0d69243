"""What an archive says of itself: whose data, of when, of which versions."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

import msgspec

from fieldline.errors import FieldlineError
from fieldline.site import Site

# The layout of an archive; raised when a reader of the number before could not read a new one.
FORMAT = 1


class ArchiveError(FieldlineError):
    """A file that is no archive, or one that is damaged or cannot be used here."""


class PartFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A part of an archive.

    Attributes:
        version: of its server, such as `4.1.0`; empty where the server did not run.
        cluster_id: Kafka's, empty for others.
        files: how many; bytes: how large they are together.
    """

    version: str
    cluster_id: str = ""
    files: int
    bytes: int


class SiteFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The site as it was declared then; topics with their partitions."""

    organization: str
    bucket: str
    topics: dict[str, int]
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The first member of an archive; `created` is ISO 8601 in UTC."""

    format: int = FORMAT
    created: str
    fieldline: str
    host: str
    site: SiteFacts
    parts: dict[str, PartFacts]


class _Head(msgspec.Struct, frozen=True):
    format: int


def encode(manifest: Manifest) -> bytes:
    """The manifest as the text in an archive, for people too."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def decode(text: bytes, where: str) -> Manifest:
    """Read a manifest.

    Raises:
        ArchiveError: it is none, or of a newer format.
    """
    try:
        head = msgspec.json.decode(text, type=_Head)
        if head.format > FORMAT:
            raise ArchiveError(
                f"{where} is of format {head.format}, and this Fieldline reads up to {FORMAT}: "
                "restore it with the Fieldline that made it, or a newer one."
            )
        return msgspec.json.decode(text, type=Manifest)
    except msgspec.DecodeError as error:
        raise ArchiveError(
            f"{where} has a manifest that cannot be read: take another archive.", str(error)
        ) from None


def site_facts(site: Site) -> SiteFacts:
    """What an archive says of the site."""
    return SiteFacts(
        organization=site.influxdb.organization,
        bucket=site.influxdb.bucket,
        topics={name: topic.partitions for name, topic in site.topics.items()},
        sha256=hashlib.sha256(site.path.read_bytes()).hexdigest(),
    )


def differences(archive: Manifest, here: Manifest) -> list[str]:
    """What says that an archive is not of this host of this site; a changed site alone does not."""
    pairs = [
        ("host", archive.host, here.host),
        ("organisation", archive.site.organization, here.site.organization),
        ("bucket", archive.site.bucket, here.site.bucket),
        ("parts", _names(archive.parts), _names(here.parts)),
    ]
    pairs += [
        (f"{name}'s cluster", facts.cluster_id, here.parts[name].cluster_id)
        for name, facts in archive.parts.items()
        # Before its first start a server has none.
        if name in here.parts and here.parts[name].cluster_id
    ]
    pairs += [
        (f"partitions of {name}", str(count), str(here.site.topics[name]))
        for name, count in archive.site.topics.items()
        if name in here.site.topics
    ]
    return [
        f"{what}: {there} in the archive, {now} here" for what, there, now in pairs if there != now
    ]


def too_new(archive: Manifest, here: Manifest) -> list[str]:
    """The parts whose data a newer server wrote than the one here, by major and minor version."""
    found = []
    for name, facts in archive.parts.items():
        now = here.parts[name].version if name in here.parts else ""
        there, known = release(facts.version), release(now)
        if there and known and there > known:
            found.append(f"{name}: {facts.version} in the archive, {now} here")
    return found


def release(version: str) -> tuple[int, int] | None:
    """Major and minor number of a version such as `4.1.0` or `v2.7.12`, or None."""
    match = re.match(r"v?([0-9]{1,6})\.([0-9]{1,6})", version)
    return (int(match[1]), int(match[2])) if match else None


def _names(parts: Mapping[str, PartFacts]) -> str:
    return " and ".join(sorted(parts)) or "none"
