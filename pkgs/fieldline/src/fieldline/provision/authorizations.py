"""InfluxDB's authorisations for the site's services, each with its token in a file.

InfluxDB 2.7 makes the value of a token by itself: POST /api/v2/authorizations has no field for it
(authorization/http_server.go, postAuthorizationRequest). Only the operator's token may be given,
once, at the setup. So the file follows the server, and is written in the same step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from fieldline.influx import InfluxClient
from fieldline.influx.client import refused
from fieldline.provision import token_file
from fieldline.provision.report import Action

Right = Literal["read", "write"]

# The description in InfluxDB and the name of the file; a reader never writes, the writer never
# reads, and none of them sees another bucket.
AUTHORIZATIONS: Final[Mapping[str, Right]] = {
    "influxdb-writer-token": "write",
    "influxdb-reader-token": "read",
    "influxdb-grafana-token": "read",
}


@dataclass(frozen=True, slots=True)
class Store:
    """Where the rights apply: names and InfluxDB's ids of the organisation and the bucket."""

    organization: str
    organization_id: str
    bucket: str
    bucket_id: str


def ensure_authorizations(operator: InfluxClient, store: Store, directory: Path) -> list[Action]:
    """Make sure that each service's token is in its file, valid, and the only one of its name.

    Args:
        operator: a client with the operator's token.
    Raises:
        FieldlineError: InfluxDB refuses or does not answer, or a file cannot be written.
    """
    answer = operator.json(
        "GET",
        "/api/v2/authorizations",
        query={"orgID": store.organization_id},
        what="list its authorisations",
    )
    actions = []
    for name, right in AUTHORIZATIONS.items():
        listed = [a for a in answer.get("authorizations", []) if a.get("description") == name]
        actions.append(_ensure(operator, store, directory / name, right, listed))
    return actions


def _ensure(
    operator: InfluxClient, store: Store, path: Path, right: Right, listed: list[dict[str, Any]]
) -> Action:
    token = token_file.read(path)
    kept = None
    if token is not None:
        mine = [entry for entry in listed if _is_of(entry, token, right, store)]
        if mine and _works(operator.with_token(token), right, store):
            kept = mine[0]
    if kept is not None:
        extra = [entry for entry in listed if entry["id"] != kept["id"]]
        _delete(operator, extra)
        changes = ["mode set to 0400"] if token_file.restrict(path) else []
        changes += [f"{len(extra)} older one(s) deleted"] if extra else []
        outcome: Literal["changed", "unchanged"] = "changed" if changes else "unchanged"
        return Action("token", path.name, outcome, ", ".join(changes))
    created = operator.json(
        "POST",
        "/api/v2/authorizations",
        body={
            "orgID": store.organization_id,
            "description": path.name,
            "permissions": [_permission(right, store)],
        },
        what=f"create the authorisation {path.name}",
    )
    # The file first, the old one's deletion after it: if this is cut off between the two, one
    # authorisation is left over, and the next run deletes it.
    token_file.write(path, created["token"])
    _delete(operator, listed)
    if token is None and not listed:
        return Action("token", path.name, "created", f"{right} on bucket {store.bucket}")
    reason = "its file was lost" if token is None else "the one in its file was not valid"
    return Action("token", path.name, "changed", f"made anew, since {reason}")


def _permission(right: Right, store: Store) -> dict[str, Any]:
    resource = {"type": "buckets", "id": store.bucket_id, "orgID": store.organization_id}
    return {"action": right, "resource": resource}


def _is_of(entry: dict[str, Any], token: str, right: Right, store: Store) -> bool:
    """Whether a listed authorisation is the one of `token`, active, with exactly this right."""
    # A server that keeps only hashes lists no value; then `_works` alone decides.
    if entry.get("token") not in (None, "", token) or entry.get("status") != "active":
        return False
    wanted = _permission(right, store)
    given = entry.get("permissions") or []
    return (
        len(given) == 1
        and given[0]["action"] == wanted["action"]
        and all(given[0]["resource"].get(key) == v for key, v in wanted["resource"].items())
    )


def _works(client: InfluxClient, right: Right, store: Store) -> bool:
    """Use the token for what it is for, without leaving a trace.

    A comment is line protocol without a point: InfluxDB checks the right to write, and stores
    nothing.
    """
    if right == "read":
        status, data = client.request("GET", f"/api/v2/buckets/{store.bucket_id}")
        ok = {200}
    else:
        status, data = client.request(
            "POST",
            "/api/v2/write",
            query={"org": store.organization, "bucket": store.bucket},
            body=b"# fieldline: may this token write?\n",
        )
        ok = {204}
    if status not in ok and status not in (400, 401, 403, 404):
        # Neither yes nor no (an overloaded server): making a new token would be the wrong answer.
        raise refused("check a token", status, data)
    return status in ok


def _delete(operator: InfluxClient, entries: list[dict[str, Any]]) -> None:
    for entry in entries:
        operator.json(
            "DELETE",
            f"/api/v2/authorizations/{entry['id']}",
            what=f"delete an older authorisation {entry['description']}",
        )
