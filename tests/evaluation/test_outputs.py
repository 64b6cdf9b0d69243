"""What the flake gives: every output is reached, for this plant and for somebody else's."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from . import nix_eval

SYSTEMS = {"raspberry": "aarch64-linux", "vbox": "x86_64-linux"}
PACKAGES = {"fieldline", "gap-filler", "ledger", "opc-server", "stream-model"}
SCENARIOS = {
    file.stem for file in (nix_eval.ROOT / "tests/scenarios").glob("*.py") if file.stem != "prelude"
}


def outputs(body: str, flake: Path = nix_eval.ROOT, **inputs: Path) -> Any:
    return nix_eval.expression(f"let inherit (e) outputs lib; in {body}", flake, inputs)


def machines(flake: Path = nix_eval.ROOT, **inputs: Path) -> Any:
    body = "lib.mapAttrs (_: h: h.pkgs.stdenv.hostPlatform.system) outputs.nixosConfigurations"
    return outputs(body, flake, **inputs)


def test_machines_are_those_of_the_site() -> None:
    expected = {
        f"{host}@{platform}": SYSTEMS[platform]
        for host, settings in nix_eval.settings()["hosts"].items()
        for platform in settings["platforms"]
    }
    assert machines() == expected
    assert set(expected) == {"opc@raspberry", "opc@vbox", "collector@vbox", "db@vbox"}


def test_every_package_is_there() -> None:
    found = outputs("lib.mapAttrs (_: lib.attrNames) outputs.packages")
    for system, names in found.items():
        images = {name for name, at in machines().items() if at == system}
        assert set(names) == PACKAGES | images
    folders = {path.parent.name for path in (nix_eval.ROOT / "pkgs").glob("*/default.nix")}
    assert folders == PACKAGES


def test_images_have_their_platforms_form() -> None:
    body = (
        '{ ova = outputs.packages.x86_64-linux."db@vbox".name;'
        ' card = outputs.packages.aarch64-linux."opc@raspberry".name; }'
    )
    names = outputs(body)
    assert "ova" in names["ova"]
    assert names["card"].endswith(".img")
    assert nix_eval.config("opc@raspberry", "sdImage.compressImage") is True


def test_scenarios_are_vm_tests() -> None:
    found = outputs("lib.attrNames outputs.checks.x86_64-linux")
    assert set(found) >= SCENARIOS
    assert {"chain", "restart", "boot", "secrets", "base", "power"} <= SCENARIOS


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_vm_test_runs_the_labs_text(name: str) -> None:
    script = outputs(f'outputs.checks.x86_64-linux."{name}".driver.testScript')
    folder = nix_eval.ROOT / "tests/scenarios"
    for file in (folder / "prelude.py", folder / f"{name}.py"):
        assert file.read_text().strip() in script


def test_vm_tests_have_the_declared_addresses_and_no_others() -> None:
    body = '(e.test "chain").nodes'
    nodes = nix_eval.expression(body)
    for host, settings in nix_eval.settings()["hosts"].items():
        assert nodes[host]["hostName"] == host
        # The address is systemd-networkd's, none is the driver's own.
        assert nodes[host]["addresses"] == []
        assert nodes[host]["vlans"] == []
        assert nodes[host]["memory"] == settings["memory"]
        assert nodes[host]["failed"] == nodes[host]["warnings"] == []


def test_apps_are_programs() -> None:
    found = outputs(
        "lib.mapAttrs (_: lib.mapAttrs (_: a: { inherit (a) type program; })) outputs.apps"
    )
    for apps in found.values():
        assert set(apps) == {"default", "fieldline", "lab"}
        assert all(app["type"] == "app" for app in apps.values())
        assert apps["fieldline"]["program"].endswith("/bin/fieldline")
        assert apps["lab"]["program"].endswith("/bin/fieldline-lab")


def test_the_rest_is_there() -> None:
    body = (
        "{ formatter = lib.mapAttrs (_: f: f.pname) outputs.formatter;"
        " overlay = lib.isFunction outputs.overlays.default;"
        " mkPlant = lib.isFunction outputs.lib.mkPlant;"
        " modules = lib.length outputs.nixosModules.default.imports;"
        ' template = builtins.pathExists (outputs.templates.default.path + "/flake.nix");'
        " shells = lib.mapAttrs (_: s: s.default.drvPath) outputs.devShells; }"
    )
    found = outputs(body)
    assert set(found["formatter"]) == set(found["shells"]) == {"x86_64-linux", "aarch64-linux"}
    assert found["overlay"]
    assert found["mkPlant"]
    assert found["template"]
    assert found["modules"] == 2


# -- somebody else's plant ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as a newcomer has it after its README's first two steps, on real sops."""
    folder = tmp_path_factory.mktemp("plant") / "source"
    shutil.copytree(nix_eval.ROOT / "templates/plant", folder)
    site = folder / "site.toml"
    commented = site.read_text()
    assert "# [admins]\n# jane = " in commented
    text = commented.replace("# [admins]\n# jane", "[admins]\njane").replace("AAAA…", "A" * 68)
    site.write_text(text)
    environment = {**os.environ, "SOPS_AGE_KEY_FILE": str(folder.parent / "key.txt")}
    done = subprocess.run(
        [str(Path(sys.executable).with_name("fieldline")), "secrets", "init", "--site", str(site)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_template_is_a_plant(plant: Path) -> None:
    assert machines(plant, fieldline=nix_eval.ROOT) == {
        "bench@raspberry": "aarch64-linux",
        "database@vbox": "x86_64-linux",
    }
    for machine in ("bench@raspberry", "database@vbox"):
        found = outputs(f"e.assertionsOf {json.dumps(machine)}", plant, fieldline=nix_eval.ROOT)
        assert found["failed"] == found["warnings"] == []
    body = "lib.mapAttrs (_: lib.mapAttrs (_: p: p.drvPath)) outputs.packages"
    packages = outputs(body, plant, fieldline=nix_eval.ROOT)
    assert "database@vbox" in packages["x86_64-linux"]
    assert "bench@raspberry" in packages["aarch64-linux"]


def test_template_without_its_steps_says_which(tmp_path: Path) -> None:
    bare = tmp_path / "source"
    shutil.copytree(nix_eval.ROOT / "templates/plant", bare)
    found = outputs('e.assertionsOf "database@vbox"', bare, fieldline=nix_eval.ROOT)
    text = " ".join(found["failed"])
    assert "[admins]" in text
    assert "fieldline secrets" in text


def test_a_host_in_the_site_is_enough(plant: Path, tmp_path: Path) -> None:
    more = tmp_path / "source"
    shutil.copytree(plant, more)
    with (more / "site.toml").open("a") as file:
        file.write(
            '\n[hosts.press2]\naddress = "192.168.10.12"\n'
            'platforms = ["vbox"]\nroles = ["opc-server"]\n'
            '\n[servers.press2]\nhost = "press2"\n'
        )
    assert "press2@vbox" in machines(more, fieldline=nix_eval.ROOT)
    names = outputs("lib.attrNames outputs.packages.x86_64-linux", more, fieldline=nix_eval.ROOT)
    assert "press2@vbox" in names


def test_modules_serve_a_flake_of_its_own(plant: Path, tmp_path: Path) -> None:
    """`nixosModules.default` alone, as a flake without mkPlant takes it."""
    other = tmp_path / "source"
    shutil.copytree(plant, other)
    shutil.copyfile(nix_eval.HERE / "modules-only.nix", other / "flake.nix")
    found = outputs('e.assertionsOf "mine"', other, fieldline=nix_eval.ROOT)
    assert found["failed"] == found["warnings"] == []
    assert outputs('e.toplevel "mine"', other, fieldline=nix_eval.ROOT).endswith(".drv")
    name = outputs('e.get "mine" [ "networking" "hostName" ]', other, fieldline=nix_eval.ROOT)
    assert name == "database"
