"""Names: two labs never meet, and every name fits where it is used."""

import os
from pathlib import Path

import pytest
from fieldline.errors import FieldlineError
from fieldline_lab.names import LabNames, find_worktree
from fieldline_lab.network import mac, port_name
from hypothesis import given
from hypothesis import strategies as st


def test_the_id_is_of_work_tree_site_and_name(tmp_path: Path) -> None:
    one = LabNames.of(tmp_path / "a", tmp_path / "a" / "site.toml")
    assert len(one.lab_id) == 8
    others = [
        LabNames.of(tmp_path / "b", tmp_path / "a" / "site.toml"),
        LabNames.of(tmp_path / "a", tmp_path / "a" / "other.toml"),
        LabNames.of(tmp_path / "a", tmp_path / "a" / "site.toml", "second"),
    ]
    assert len({names.lab_id for names in (one, *others)}) == 4
    assert one.lab_id == LabNames.of(tmp_path / "a", tmp_path / "a" / "site.toml").lab_id


def test_a_link_to_the_work_tree_is_the_same_lab(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "link").symlink_to("tree")
    ids = {
        LabNames.of(tmp_path / name, tmp_path / name / "site.toml").lab_id
        for name in ("tree", "link")
    }
    assert len(ids) == 1


def test_data_of_two_sites_never_mix(tmp_path: Path) -> None:
    plain = LabNames.of(tmp_path, tmp_path / "site.toml")
    other = LabNames.of(tmp_path, tmp_path / "other.toml")
    assert plain.state == tmp_path / ".lab" / "default"
    assert other.state not in (plain.state, *plain.state.parents)
    assert plain.state not in other.state.parents


def test_a_host_called_bridge_does_not_meet_the_bridge(tmp_path: Path) -> None:
    names = LabNames.of(tmp_path, tmp_path / "site.toml")
    assert names.namespace("bridge") != names.bridge


@pytest.mark.parametrize("name", ["", "A", "1a", "a/b", "a-", "../x", "a" * 33, "a b"])
def test_a_name_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FieldlineError, match="cannot be used"):
        LabNames.of(tmp_path, tmp_path / "site.toml", name)


def test_long_names_fit(tmp_path: Path) -> None:
    names = LabNames.of(tmp_path, tmp_path / "site.toml", "a" * 32)
    # 64 is the longest machine name; a longer namespace name would not be a file name.
    assert len(names.machine("h" * 32)) <= 64


@given(st.ip_addresses())
def test_interface_names_are_short_enough(address: object) -> None:
    # IFNAMSIZ is 16, with the byte at the end.
    assert len(port_name(str(address))) <= 15


def test_interface_names_and_hardware_addresses_differ() -> None:
    addresses = [f"192.168.{a}.{b}" for a in range(4) for b in range(1, 255)]
    addresses += [f"fd00::{n:x}" for n in range(1, 1000)]
    assert len({port_name(address) for address in addresses}) == len(addresses)
    assert len({mac(address) for address in addresses}) == len(addresses)
    assert all(mac(address).startswith("02:") for address in addresses)


def test_the_work_tree_is_found_from_a_folder_within(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "default.nix").touch()
    (tmp_path / "pkgs" / "x").mkdir(parents=True)
    assert find_worktree(tmp_path / "pkgs" / "x") == tmp_path
    # Elsewhere, the one that this package is in.
    assert (find_worktree(Path(os.sep)) / "lib" / "default.nix").is_file()
