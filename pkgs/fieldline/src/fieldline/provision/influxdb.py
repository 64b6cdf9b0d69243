"""InfluxDB as the site declares it: first setup, then organisation, bucket, user and tokens.

Each run compares and changes only what differs. Source: https://docs.influxdata.com/influxdb/v2/api/
and tenant/service_onboarding.go of InfluxDB 2.7.12.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldline.errors import FieldlineError
from fieldline.influx import InfluxClient, InfluxRefusedError
from fieldline.influx.client import refused
from fieldline.provision.authorizations import Store, ensure_authorizations
from fieldline.provision.report import Action
from fieldline.site import Influxdb

# InfluxDB's own bounds (tenant/service_password.go). They are checked before the setup, since a
# setup that fails half way leaves a server that nobody has a token for.
_PASSWORD_BYTES = range(8, 73)

_HOUR, _DAY = 3600, 86400


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """The administrator's password and the operator's token; never printed."""

    password: str
    token: str


def ensure_influxdb(
    url: str, declared: Influxdb, secrets: Secrets, token_directory: Path
) -> list[Action]:
    """Bring a server that answers to what the site declares.

    Args:
        token_directory: gets a file per token; see `fieldline.provision.authorizations`.
    Raises:
        FieldlineError: a secret is not usable, the server was set up by somebody else, or refuses.
    """
    _check_secrets(secrets)
    operator = InfluxClient(url, secrets.token)
    anyone = InfluxClient(url)
    actions = []
    if anyone.json("GET", "/api/v2/setup", what="tell whether it is set up").get("allowed"):
        actions.append(_set_up(anyone, declared, secrets))
    organization_id = _organization(operator, declared)
    bucket_id, bucket = _bucket(operator, declared, organization_id)
    actions += [bucket, _user(operator, declared, secrets, organization_id)]
    store = Store(declared.organization, organization_id, declared.bucket, bucket_id)
    return actions + ensure_authorizations(operator, store, token_directory)


def check_influxdb(url: str, declared: Influxdb, secrets: Secrets) -> list[Action]:
    """Tell whether the password signs in and the operator's token is taken; nothing is changed.

    Raises:
        FieldlineError: one of them does not, or the server is not set up.
    """
    anyone = InfluxClient(url)
    if anyone.json("GET", "/api/v2/setup", what="tell whether it is set up").get("allowed"):
        raise FieldlineError(f"InfluxDB at {url} is not set up: start influxdb-provision.service.")
    _organization(InfluxClient(url, secrets.token), declared)
    if not _signs_in(url, declared.user, secrets.password):
        raise FieldlineError(
            f"The password in the file does not sign in {declared.user}: restart"
            " influxdb-provision.service, which sets it."
        )
    return [
        Action("token", "operator", "unchanged"),
        Action("user", declared.user, "unchanged", "signs in"),
    ]


def _check_secrets(secrets: Secrets) -> None:
    if len(secrets.password.encode()) not in _PASSWORD_BYTES:
        raise FieldlineError(
            "Give the administrator's password 8 to 72 bytes: InfluxDB refuses others."
        )
    if len(secrets.token) < 16 or not secrets.token.isascii() or not secrets.token.isprintable():
        raise FieldlineError("Give the operator's token at least 16 printable ASCII characters.")
    if " " in secrets.token:
        raise FieldlineError("Remove the spaces from the operator's token.")


def _set_up(anyone: InfluxClient, declared: Influxdb, secrets: Secrets) -> Action:
    anyone.json(
        "POST",
        "/api/v2/setup",
        body={
            "username": declared.user,
            "password": secrets.password,
            "org": declared.organization,
            "bucket": declared.bucket,
            "retentionPeriodSeconds": declared.retention_ms // 1000,
            "token": secrets.token,
        },
        what="be set up",
    )
    detail = f"organisation {declared.organization}, user {declared.user}"
    return Action("setup", anyone.url, "created", detail)


def _organization(operator: InfluxClient, declared: Influxdb) -> str:
    """The organisation's id; with it, whether the operator's token is the right one."""
    try:
        found = operator.json("GET", "/api/v2/orgs", what="list its organisations").get("orgs", [])
    except InfluxRefusedError as error:
        if error.status != 401:
            raise
        raise FieldlineError(
            f"InfluxDB at {operator.url} was set up before, with another operator's token. If its "
            "data is to be kept, put the token of that setup into the file of "
            "--admin-token-file; if that is lost, stop influxdb2, run `influxd recovery auth "
            f"create-operator --org {declared.organization} --username {declared.user}` on its "
            "host, and put the new one there. If nothing is to be kept, stop influxdb2, empty "
            "/var/lib/influxdb2, start it, and provision again.",
            error.cause,
        ) from None
    for organization in found:
        if organization["name"] == declared.organization:
            return str(organization["id"])
    names = ", ".join(sorted(organization["name"] for organization in found)) or "none"
    # A new, empty organisation would hide the old one's data behind a renaming.
    raise FieldlineError(
        f"InfluxDB has no organisation {declared.organization}, but: {names}. If the site renamed "
        "it, rename it in InfluxDB too (PATCH /api/v2/orgs/ID with the operator's token, or "
        "`influx org update`); if not, write its name at influxdb.organization in site.toml."
    )


def _bucket(operator: InfluxClient, declared: Influxdb, organization_id: str) -> tuple[str, Action]:
    seconds = declared.retention_ms // 1000
    query = {"orgID": organization_id, "name": declared.bucket}
    found = _named(operator, "buckets", query)
    rule = {
        "type": "expire",
        "everySeconds": seconds,
        "shardGroupDurationSeconds": shard_group_seconds(seconds),
    }
    if not found:
        body = {"orgID": organization_id, "name": declared.bucket, "retentionRules": [rule]}
        made = operator.json(
            "POST", "/api/v2/buckets", body=body, what=f"create the bucket {declared.bucket}"
        )
        created = Action("bucket", declared.bucket, "created", f"retention {seconds} s")
        return str(made["id"]), created
    bucket: dict[str, Any] = found[0]
    now = _retention(bucket)
    if now == seconds:
        return str(bucket["id"]), Action("bucket", declared.bucket, "unchanged")
    operator.json(
        "PATCH",
        f"/api/v2/buckets/{bucket['id']}",
        body={"retentionRules": [rule]},
        what=f"change the retention of the bucket {declared.bucket}",
    )
    detail = f"retention {now or 'unlimited'} -> {seconds} s"
    return str(bucket["id"]), Action("bucket", declared.bucket, "changed", detail)


def _retention(bucket: Mapping[str, Any]) -> int:
    """A bucket's retention in s; 0 is "for ever", as is a bucket without a rule."""
    rules = bucket.get("retentionRules") or [{}]
    return int(rules[0].get("everySeconds", 0))


def bucket_retention(client: InfluxClient, declared: Influxdb) -> int | None:
    """The retention of the declared bucket, in s, 0 for ever; None if there is no such bucket.

    Args:
        client: with a token that may read the bucket.
    Raises:
        FieldlineError: InfluxDB refuses or does not answer.
    """
    query = {"org": declared.organization, "name": declared.bucket}
    found = _named(client, "buckets", query)
    return _retention(found[0]) if found else None


def shard_group_seconds(retention: int) -> int:
    """The length of the files in which a bucket is kept and dropped, in s.

    It is InfluxDB's own rule for new buckets (v1/services/meta/data.go, shardGroupDuration), which
    it does not apply when a retention changes: one longer than the retention is refused then.
    """
    if retention >= 180 * _DAY:
        return 7 * _DAY
    return _DAY if retention >= 2 * _DAY else _HOUR


def _user(
    operator: InfluxClient, declared: Influxdb, secrets: Secrets, organization_id: str
) -> Action:
    """The user who signs in with the password; a new password in the file is taken over."""
    users = _named(operator, "users", {"name": declared.user})
    if not users:
        made = operator.json("POST", "/api/v2/users", body={"name": declared.user})
        operator.json("POST", f"/api/v2/orgs/{organization_id}/owners", body={"id": made["id"]})
        _set_password(operator, made["id"], secrets)
        return Action("user", declared.user, "created")
    if _signs_in(operator.url, declared.user, secrets.password):
        return Action("user", declared.user, "unchanged")
    _set_password(operator, users[0]["id"], secrets)
    return Action("user", declared.user, "changed", "password")


def _named(operator: InfluxClient, kind: str, query: dict[str, str]) -> list[dict[str, Any]]:
    """The buckets or users of a name, at most one."""
    try:
        what = f"show {kind} by name"
        answer = operator.json("GET", f"/api/v2/{kind}", query=query, what=what)
    except InfluxRefusedError as error:
        # A name that is not there is an error to InfluxDB, not an empty list.
        if error.status == 404:
            return []
        raise
    return list(answer.get(kind, []))


def _set_password(operator: InfluxClient, user_id: str, secrets: Secrets) -> None:
    operator.json(
        "POST",
        f"/api/v2/users/{user_id}/password",
        body={"password": secrets.password},
        what="set the user's password",
    )


def _signs_in(url: str, user: str, password: str) -> bool:
    """Whether the password is the user's."""
    status, data = InfluxClient(url).sign_in(user, password)
    if status not in (204, 401):
        raise refused(f"sign in {user}", status, data)
    return status == 204
