"""Deliberate mistakes in a site, a host, a module or a package: each is reported, by name."""

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from . import nix_eval


@dataclass(frozen=True)
class Mistake:
    """An edit of a copy of the flake, and what the check must say of it."""

    edit: Callable[[Path], None]
    says: str
    """A regular expression; white space stands for any."""
    machine: str | None = "db@vbox"
    """The host to check; None: everything but the hosts' details."""


def replace(file: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(flake: Path) -> None:
        text = (flake / file).read_text()
        assert old in text, f"{file} does not hold {old!r} any more"
        (flake / file).write_text(text.replace(old, new, 1))

    return edit


def module(body: str, host: str = "db") -> Callable[[Path], None]:
    """A module for one host, as a plant gives it to mkPlant."""

    def edit(flake: Path) -> None:
        text = f"{{ lib, pkgs, config, ... }}:\n{{ config = {{\n{body}\n}}; }}\n"
        (flake / "extra.nix").write_text(text)
        given = f"site = ./site.toml; extraModules.{host} = [ ./extra.nix ];"
        replace("flake.nix", "site = ./site.toml;", given)(flake)

    return edit


def drop_key(file: str, key: str) -> Callable[[Path], None]:
    def edit(flake: Path) -> None:
        lines = (flake / file).read_text().splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith(f"{key}:")]
        assert len(kept) == len(lines) - 1
        (flake / file).write_text("".join(kept))

    return edit


def remove(file: str) -> Callable[[Path], None]:
    return lambda flake: (flake / file).unlink()


def only_plain(file: str) -> Callable[[Path], None]:
    """A file of secrets that somebody wrote by hand: the right keys, nothing encrypted."""

    def edit(flake: Path) -> None:
        lines = (flake / file).read_text().splitlines()
        keys = [line.partition(":")[0] for line in lines if re.match(r"[a-z-]+: ENC", line)]
        assert keys
        (flake / file).write_text("".join(f"{key}: plain\n" for key in keys))

    return edit


def drop_admins(flake: Path) -> None:
    site = flake / "site.toml"
    text = site.read_text()
    changed = re.sub(r"\[admins\]\n\w+ = .*\n", "", text, count=1)
    assert changed != text
    site.write_text(changed)


def add_scenario_key(flake: Path) -> None:
    key = (flake / "tests/scenarios/admin.pub").read_text().strip()
    replace("site.toml", "[admins]\n", f'[admins]\ntester = ["{key}"]\n')(flake)


def misspell(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(re.sub(rf"\b{old}\b", new, text))


# A variable of the site's own text, to keep the edits below short.
DB = '[hosts.db]\naddress = "192.168.0.10"\nplatforms = ["vbox"]'

MISTAKES = {
    # -- the site
    "another schema": Mistake(
        replace("site.toml", "schema = 1", "schema = 2"), r"site\.toml: schema: schema: .*docs/site"
    ),
    "unknown role": Mistake(
        replace("site.toml", '"grafana"]', '"grafanna"]'), r"hosts\.db\.roles\[3\]: bad-value"
    ),
    "nameserver of three octets": Mistake(
        replace("site.toml", 'nameservers = ["192.168.0.1"]', 'nameservers = ["192.168.1"]'),
        r"network\.nameservers\[0\]: bad-value",
    ),
    "one address twice": Mistake(
        replace("site.toml", "192.168.0.10", "192.168.0.7"), r"hosts\.db\.address: duplicate"
    ),
    "port clash": Mistake(
        replace("site.toml", "[influxdb]", "[kafka]\nport = 8086\n\n[influxdb]"),
        r"port: port-taken: 8086 is taken by",
    ),
    "unknown key": Mistake(
        replace("site.toml", "[collection]", "[colection]"), r"colection: unknown-key"
    ),
    "nobody may log in": Mistake(drop_admins, r"admins: the site names nobody"),
    "administrator with the key of the tests": Mistake(
        add_scenario_key,
        r"admins: the key of Fieldline's scenarios is no secret",
    ),
    "role on a platform that cannot carry it": Mistake(
        replace("site.toml", DB, DB.replace('["vbox"]', '["raspberry"]')),
        r"hosts\.db\.platforms: .*raspberry.*kafka",
        "db@raspberry",
    ),
    # -- a host or a module
    "option that does not exist": Mistake(
        module("services.grafna.enable = true;"), r"option `services\.grafna' does not exist"
    ),
    "wrong type": Mistake(
        module('fieldline.store.keepDays = "30";'),
        r"fieldline\.store\.keepDays' is not of type `integer between 1 and 3650",
    ),
    "out of range": Mistake(
        module("fieldline.machine.diskMib = 1;"), r"fieldline\.machine\.diskMib' is not of type"
    ),
    "option of Fieldline that does not exist": Mistake(
        module("fieldline.opcServer.port = 4840;"), r"option `fieldline\.opcServer' does not exist"
    ),
    "nested Kafka key": Mistake(
        module("services.apache-kafka.settings.node.id = 1;"),
        r"services\.apache-kafka\.settings\.node' is not of type",
    ),
    "platform that the host is not declared for": Mistake(
        module('fieldline.platform = lib.mkForce "raspberry";'),
        r"fieldline\.platform: db is not declared for raspberry.*db@vbox",
    ),
    "user that does not exist": Mistake(
        module('systemd.services.extra = { script = ":"; serviceConfig.User = "ghost"; };'),
        r"extra\.service: User=ghost is not in users\.users",
    ),
    "group that does not exist": Mistake(
        module('systemd.services.extra = { script = ":"; serviceConfig.Group = "ghosts"; };'),
        r"extra\.service: Group=ghosts is not in users\.groups",
    ),
    "start limit in the wrong section": Mistake(
        module(
            'systemd.services.extra = { script = ":"; serviceConfig.StartLimitIntervalSec = 0; };'
        ),
        r"StartLimitIntervalSec belongs in unitConfig",
    ),
    "secret that nobody declares": Mistake(
        module(
            'systemd.services.grafana.serviceConfig.LoadCredential = [ "x:/run/secrets/mistyped" ];'
        ),
        r"/run/secrets/mistyped is no secret",
    ),
    "port opened beside the site": Mistake(
        module("networking.firewall.allowedTCPPorts = [ 8086 ];"),
        r"networking\.firewall: ports opened there \(8086\) would stay shut",
    ),
    "second provisioning of InfluxDB": Mistake(
        module(
            "services.influxdb2.provision = { enable = true; initialSetup = {"
            ' organization = "o"; bucket = "b"; passwordFile = "/p"; tokenFile = "/t"; }; };'
        ),
        r"services\.influxdb2\.provision: the site provisions InfluxDB",
    ),
    "plain password of Grafana": Mistake(
        module('services.grafana.settings.security.admin_password = "admin";'),
        r"a password or key written there would stand in the Nix store",
    ),
    "anonymous administrator of Grafana": Mistake(
        module(
            'services.grafana.settings."auth.anonymous" = { enabled = true; org_role = "Admin"; };'
        ),
        r"who has not logged in may look at most",
    ),
    "environment file of Telegraf": Mistake(
        module('services.telegraf.environmentFiles = [ "/run/keys/telegraf" ];'),
        r"services\.telegraf\.environmentFiles: NixOS would replace every \$",
    ),
    # -- secrets
    "secret that is missing": Mistake(
        drop_key("secrets/hosts/db.yaml", "grafana-secret-key"),
        r"fieldline\.secrets: db needs grafana-secret-key.*fieldline secrets rekey",
    ),
    "file of secrets that is missing": Mistake(
        remove("secrets/hosts/db.yaml"), r"fieldline\.secrets: db needs .*grafana-admin-password"
    ),
    "file of secrets that is not encrypted": Mistake(
        only_plain("secrets/hosts/db.yaml"), r"db\.yaml has no sops metadata"
    ),
    "secrets that everybody can read": Mistake(
        replace("flake.nix", "secrets = ./secrets;", "secrets = ./tests/fixtures/secrets/secrets;"),
        r"fieldline\.secrets: .*can be read with the public key of Fieldline's tests",
    ),
    "Kafka that is too old": Mistake(
        module("fieldline.apache-kafka.package = pkgs.apacheKafka;"),
        r"fieldline\.apache-kafka\.package: Kafka 3\.7\.1 knows neither",
    ),
    "Grafana without a data source": Mistake(
        module(
            "fieldline.grafana.package = lib.mkForce"
            ' (pkgs.grafana.overrideAttrs (_: { version = "13.2.0"; }));'
        ),
        r"fieldline\.grafana\.package: Grafana 13\.2\.0 has no InfluxDB data source",
    ),
    # -- the flake and the packages
    "modules for a host that is not declared": Mistake(
        replace(
            "flake.nix", "site = ./site.toml;", "site = ./site.toml; extraModules.press9 = [ ];"
        ),
        r"extraModules\.press9: the site declares no such host; write one of all, collector",
    ),
    "unknown argument of mkPlant": Mistake(
        replace("flake.nix", "site = ./site.toml;", "site = ./site.toml; secret = ./secrets;"),
        r"called with unexpected argument 'secret'",
    ),
    "Python dependency that does not exist": Mistake(
        lambda flake: misspell(flake / "pkgs/opc-server/default.nix", "asyncua", "asyncuaa"),
        r"asyncuaa",
        "opc@vbox",
    ),
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the flake sees."""
    folder = tmp_path_factory.mktemp("flake") / "source"
    listed = subprocess.run(
        ["git", "-C", str(nix_eval.ROOT), "ls-files", "-z"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if not name.startswith("bench/") and (nix_eval.ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(nix_eval.ROOT / name, target)
    return folder


def check(flake: Path, machine: str | None) -> tuple[int, str]:
    hosts = [machine] if machine else []
    done = nix_eval.run("check", *hosts, flake=flake, options=("--no-stage",))
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_reported(name: str, original: Path, tmp_path: Path) -> None:
    mistake = MISTAKES[name]
    flake = tmp_path / "source"
    shutil.copytree(original, flake)
    mistake.edit(flake)
    code, output = check(flake, mistake.machine)
    assert code != 0, output
    # Nix and the tool break lines where it suits them.
    assert re.search(mistake.says, " ".join(output.split())), output[-4000:]


def test_there_are_enough() -> None:
    assert len(MISTAKES) >= 25
