"""Provisioning of a real InfluxDB, through its states."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fieldline.errors import FieldlineError
from fieldline.influx import InfluxClient, InfluxUnreachableError
from fieldline.influx.client import wait_until_healthy
from fieldline.provision.authorizations import AUTHORIZATIONS
from fieldline.provision.command import app
from fieldline.provision.influxdb import Secrets, check_influxdb, ensure_influxdb
from fieldline.site import Influxdb as Declared
from fieldline.site import load_site
from typer.testing import CliRunner

pytestmark = pytest.mark.servers

SITE = Path(__file__).parents[4] / "site.toml"
SECRETS = Secrets("first-password", "operator-token-of-the-test")
# Without a time it is stored with the server's: an old one would be beyond the retention.
LINE = b"opc_server,asset=a,id=i Temperature=1"


class World:
    """A server, what is declared for it, and the token directory."""

    def __init__(self, server: Any, folder: Path) -> None:
        self.url: str = server.url
        self.directory = folder / "tokens"
        self.declared: Declared = load_site(SITE).influxdb
        self.operator = InfluxClient(self.url, SECRETS.token)

    def provision(self, secrets: Secrets = SECRETS, **changes: Any) -> dict[str, str]:
        """Run it; gives name → outcome of everything but what is unchanged."""
        declared = replace(self.declared, **changes)
        actions = ensure_influxdb(self.url, declared, secrets, self.directory)
        return {f"{a.kind} {a.name}": a.outcome for a in actions if a.outcome != "unchanged"}

    def client(self, token: str) -> InfluxClient:
        return InfluxClient(self.url, (self.directory / token).read_text())

    def writes(self, token: str, bucket: str = "dev") -> bool:
        query = {"org": "devorg", "bucket": bucket}
        return self.client(token).request("POST", "/api/v2/write", query=query, body=LINE)[0] == 204

    def reads(self, token: str) -> bool:
        body = {"query": 'from(bucket: "dev") |> range(start: 0)', "type": "flux"}
        status, data = self.client(token).request(
            "POST", "/api/v2/query", query={"org": "devorg"}, body=body
        )
        return status == 200 and b"Temperature" in data


@pytest.fixture
def world(influxdb: Any, tmp_path: Path) -> World:
    return World(influxdb, tmp_path)


def test_it_is_set_up_once_and_stays_as_it_is(world: World) -> None:
    first = world.provision()
    assert first == {
        f"setup {world.url}": "created",
        **{f"token {name}": "created" for name in AUTHORIZATIONS},
    }
    before = {name: (world.directory / name).read_bytes() for name in AUTHORIZATIONS}
    assert world.provision() == {}
    assert before == {name: (world.directory / name).read_bytes() for name in AUTHORIZATIONS}
    for name in AUTHORIZATIONS:
        assert stat.S_IMODE((world.directory / name).stat().st_mode) == 0o400
    assert sorted(path.name for path in world.directory.iterdir()) == sorted(AUTHORIZATIONS)


def test_a_check_changes_nothing_and_tells_a_wrong_password_or_token(world: World) -> None:
    with pytest.raises(FieldlineError, match="not set up"):
        check_influxdb(world.url, world.declared, SECRETS)
    world.provision()
    actions = check_influxdb(world.url, world.declared, SECRETS)
    assert {action.outcome for action in actions} == {"unchanged"}
    other = replace(SECRETS, password="second-password")
    for _ in range(2):
        with pytest.raises(FieldlineError, match="does not sign in devuser"):
            check_influxdb(world.url, world.declared, other)
    with pytest.raises(FieldlineError, match="another operator's token"):
        check_influxdb(world.url, world.declared, replace(SECRETS, token="another-token-of-16"))
    assert world.provision(other) == {"user devuser": "changed"}
    check_influxdb(world.url, world.declared, other)
    with pytest.raises(FieldlineError, match="does not sign in devuser"):
        check_influxdb(world.url, world.declared, SECRETS)


def test_each_token_may_do_its_own_and_nothing_else(world: World) -> None:
    world.provision()
    organization = world.operator.json("GET", "/api/v2/orgs")["orgs"][0]["id"]
    other = {"orgID": organization, "name": "other"}
    world.operator.json("POST", "/api/v2/buckets", body=other)
    assert world.writes("influxdb-writer-token")
    assert not world.writes("influxdb-writer-token", "other")
    assert not world.reads("influxdb-writer-token")
    for name in ("influxdb-reader-token", "influxdb-grafana-token"):
        assert world.reads(name)
        assert not world.writes(name)


def test_a_lost_token_is_made_anew_and_the_old_one_ends(world: World) -> None:
    world.provision()
    old = world.client("influxdb-reader-token")
    (world.directory / "influxdb-reader-token").unlink()
    assert world.provision() == {"token influxdb-reader-token": "changed"}
    assert world.writes("influxdb-writer-token")
    assert world.reads("influxdb-reader-token")
    assert old.request("GET", "/api/v2/buckets")[0] == 401


@pytest.mark.parametrize("content", [b"", b"not-a-token", b"\xff\xfe"])
def test_a_token_that_does_not_work_is_made_anew(world: World, content: bytes) -> None:
    world.provision()
    path = world.directory / "influxdb-writer-token"
    path.unlink()
    path.write_bytes(content)
    assert world.provision() == {"token influxdb-writer-token": "changed"}
    assert world.writes("influxdb-writer-token")
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert world.provision() == {}


def test_a_token_with_other_rights_is_made_anew(world: World) -> None:
    """The reader's file with the writer's token: it is valid, but not what it should be."""
    world.provision()
    path = world.directory / "influxdb-reader-token"
    path.unlink()
    path.write_text((world.directory / "influxdb-writer-token").read_text())
    assert world.provision() == {"token influxdb-reader-token": "changed"}
    assert world.writes("influxdb-writer-token")
    assert world.reads("influxdb-reader-token")
    assert not world.writes("influxdb-reader-token")


def test_an_inactive_token_is_made_anew(world: World) -> None:
    world.provision()
    listed = world.operator.json("GET", "/api/v2/authorizations")["authorizations"]
    entry = next(a for a in listed if a["description"] == "influxdb-grafana-token")
    path = f"/api/v2/authorizations/{entry['id']}"
    world.operator.json("PATCH", path, body={"status": "inactive"})
    assert world.provision() == {"token influxdb-grafana-token": "changed"}
    assert world.writes("influxdb-writer-token")
    assert world.reads("influxdb-grafana-token")


def test_an_authorisation_left_over_is_deleted(world: World) -> None:
    world.provision()
    listed = world.operator.json("GET", "/api/v2/authorizations")["authorizations"]
    entry = next(a for a in listed if a["description"] == "influxdb-writer-token")
    extra = {key: entry[key] for key in ("orgID", "description", "permissions")}
    world.operator.json("POST", "/api/v2/authorizations", body=extra)
    assert world.provision() == {"token influxdb-writer-token": "changed"}
    listed = world.operator.json("GET", "/api/v2/authorizations")["authorizations"]
    assert sum(a["description"] == "influxdb-writer-token" for a in listed) == 1
    assert world.writes("influxdb-writer-token")


def test_retention_bucket_and_password_follow_the_declaration(world: World) -> None:
    world.provision()
    hour = {"retention_ms": 3_600_000}
    assert world.provision(**hour) == {"bucket dev": "changed"}
    assert world.provision(**hour) == {}
    assert world.provision() == {"bucket dev": "changed"}
    rotated = Secrets("second-password", SECRETS.token)
    assert world.provision(rotated) == {"user devuser": "changed"}
    assert world.provision(rotated) == {}
    # A new bucket: the old tokens' rights are for the old one.
    changed = world.provision(rotated, bucket="new")
    assert changed == {"bucket new": "created", **dict.fromkeys(_tokens(), "changed")}
    assert world.writes("influxdb-writer-token", "new")
    assert not world.writes("influxdb-writer-token", "dev")
    assert world.provision(rotated, bucket="new", user="other") == {"user other": "created"}


def test_another_operator_token_is_refused_with_the_steps(world: World) -> None:
    world.provision()
    other = Secrets(SECRETS.password, "some-other-operator-token")
    with pytest.raises(FieldlineError) as caught:
        world.provision(other)
    assert "set up before" in caught.value.what_to_do
    assert "recovery auth create-operator" in caught.value.what_to_do
    assert other.token not in str(caught.value)


def test_another_organisation_is_refused(world: World) -> None:
    world.provision()
    with pytest.raises(FieldlineError, match="no organisation plant, but: devorg"):
        world.provision(organization="plant")


@pytest.mark.parametrize(
    "secrets", [Secrets("short", SECRETS.token), Secrets(SECRETS.password, "with a space, 16 long")]
)
def test_secrets_that_influxdb_would_refuse_never_reach_it(world: World, secrets: Secrets) -> None:
    with pytest.raises(FieldlineError) as caught:
        world.provision(secrets)
    assert secrets.password not in str(caught.value)
    assert InfluxClient(world.url).json("GET", "/api/v2/setup")["allowed"]


def test_the_command_prints_what_it_did_and_no_secret(world: World, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(SECRETS.password + "\n")
    (tmp_path / "token").write_text(SECRETS.token + "\n")
    arguments = ["influxdb", "--site", str(SITE), "--url", world.url]
    arguments += ["--admin-password-file", str(tmp_path / "password")]
    arguments += ["--admin-token-file", str(tmp_path / "token")]
    arguments += ["--token-directory", str(world.directory)]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "created   token influxdb-writer-token" in result.output
    result = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert '"outcome":"unchanged"' in result.output
    secrets = [SECRETS.password, SECRETS.token]
    secrets += [(world.directory / name).read_text() for name in AUTHORIZATIONS]
    assert not any(secret in result.output for secret in secrets)


def test_a_server_that_is_not_there_is_waited_for_and_told() -> None:
    told: list[float] = []
    client = InfluxClient("http://127.0.0.1:1")
    with pytest.raises(InfluxUnreachableError) as caught:
        wait_until_healthy(client, 0.5, lambda passed, _cause: told.append(passed))
    assert caught.value.code == 69
    assert told


def _tokens() -> list[str]:
    return [f"token {name}" for name in AUTHORIZATIONS]
