"""The forms of secrets: keys, encrypted files, rules, names. No program is run."""

from __future__ import annotations

import string

import pytest
from fieldline.errors import FieldlineError
from fieldline.secrets import document, effects, rules, values
from fieldline.secrets.age import KEY, check_recipient, is_recipient
from fieldline.secrets.edit import file_named
from fieldline.secrets.rules import Rules
from fieldline.secrets.wanted import Wanted
from hypothesis import given
from hypothesis import strategies as st

# Public keys of nobody: made for this, their private ones thrown away.
KEYS = [
    "age1mxu76pvmazr6j2sftg0hcvflr20da2hkcj98c5scdtlj3grnl9yqae7n4d",
    "age1tukaldqkxx5x6ylae2r2twjra84mw2g3tkfxkyr9akzprgjcvf0sr7c4e3",
    "age1jyff02ysd6zervek8trz37nkup9gn26lffu000t9gvcl0vsx4vuspjuyan",
    "age1x4kw634hr79stu94w08tafsrwc66cccwctlxxff34asphhrysdvswdhxtw",
]
ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

ENC = "ENC[AES256_GCM,data:YWJj,iv:Zm9v,tag:YmFy,type:str]"
TEXT = f"""\
first: {ENC}
"n": {ENC}
sops:
    age:
        - enc: |
            -----BEGIN AGE ENCRYPTED FILE-----
            YWdl
            -----END AGE ENCRYPTED FILE-----
          recipient: {KEYS[0]}
        - recipient: {KEYS[1]}
          enc: |
            -----BEGIN AGE ENCRYPTED FILE-----
    lastmodified: "2026-01-01T00:00:00Z"
    mac: {ENC}
    unencrypted_suffix: _unencrypted
    version: 3.13.3
"""


def test_recipients_are_known_by_their_checksum() -> None:
    assert all(map(is_recipient, KEYS))
    assert check_recipient(f" {KEYS[0]}\n") == KEYS[0]


@given(st.sampled_from(KEYS), st.integers(4, 61), st.sampled_from(ALPHABET))
def test_a_mistyped_recipient_is_refused(key: str, place: int, letter: str) -> None:
    changed = key[:place] + letter + key[place + 1 :]
    assert is_recipient(changed) == (changed == key)


@given(st.text(max_size=80))
def test_other_texts_are_no_recipients_and_no_keys(text: str) -> None:
    assert not is_recipient(text)
    with pytest.raises(FieldlineError, match="age-keygen -y"):
        check_recipient(text)
    assert KEY.fullmatch(text) is None


def test_a_private_key_given_as_a_recipient_is_not_repeated() -> None:
    key = "AGE-SECRET-KEY-1" + "Q" * 58
    assert KEY.fullmatch(key)
    with pytest.raises(FieldlineError) as error:
        check_recipient(key)
    assert "QQQ" not in str(error.value)


def test_a_file_tells_its_names_and_readers() -> None:
    found = document.parse(TEXT, "x.yaml")
    assert found.names == ("first", "n")
    assert found.recipients == frozenset(KEYS[:2])


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        (f"first: {ENC}", "first: hunter2", "the value of first, line 1, is not encrypted"),
        (f"first: {ENC}", f"first: {ENC} hunter2", "the value of first, line 1, is not encrypted"),
        (f"first: {ENC}", "first:\n  second: hunter2", "line 1 is no `name: value`"),
        (f"first: {ENC}", "- hunter2", "line 1 is no `name: value`"),
        ('"n"', "first", "first is there twice"),
        ("sops:", "other:", "it has no section sops: it is not encrypted"),
        ("recipient:", "reader:", "it names no recipient"),
        ("    mac:", "    mag:", "its checksum (mac) is missing"),
        ("    version: 3.13.3\n", "hunter2: x\n", "something stands behind the section sops"),
    ],
)
def test_another_form_is_refused_without_its_text(before: str, after: str, why: str) -> None:
    assert before in TEXT
    with pytest.raises(FieldlineError) as error:
        document.parse(TEXT.replace(before, after), "x.yaml")
    assert error.value.cause == why
    assert "hunter2" not in str(error.value)


@given(st.text(alphabet=string.printable, max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    with pytest.raises(FieldlineError, match="not a file as sops encrypts it"):
        document.parse(text, "x.yaml")


NAMES = st.from_regex(rules._HOST.pattern, fullmatch=True).map(lambda f: f[6:-5])


@given(
    st.lists(st.sampled_from(KEYS[:2]), min_size=1, unique=True),
    st.dictionaries(NAMES, st.sampled_from(KEYS[2:]), max_size=4),
    st.data(),
)
def test_rules_come_back(admins: list[str], hosts: dict[str, str], data: st.DataObject) -> None:
    # Each host has a key of its own.
    hosts = dict(zip(hosts, KEYS[2:], strict=False))
    sharing = frozenset(data.draw(st.lists(st.sampled_from(sorted(hosts)))) if hosts else ())
    made = Rules(tuple(admins), hosts, sharing)
    assert rules.parse(made.text()) == made


def test_rules_written_by_hand_in_one_line_are_read() -> None:
    text = Rules((KEYS[0], KEYS[1]), {"db": KEYS[2]}).text()
    for short in (f"age: {KEYS[0]},{KEYS[1]}", f'age: "{KEYS[0]}, {KEYS[1]}"'):
        hand = text.replace(f"age: >-\n      {KEYS[0]},\n      {KEYS[1]}\n", f"{short}\n", 1)
        assert hand != text
        assert rules.parse(hand) == rules.parse(text)


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("creation_rules:", "rules:", "line 3"),
        (r"admin\.yaml", r"other\.yaml", "no rule for secrets/admin.yaml"),
        (r"admin\.yaml", ".*", "line 4"),
        ("age: >-", "pgp: >-", "line 5"),
        (KEYS[2], "age1nobody", "is no recipient of age"),
        (KEYS[2], KEYS[0], "no recipient, or one twice"),
        (f",\n      {KEYS[2]}", "", "not the administrators and one host's key"),
    ],
)
def test_rules_of_another_form_are_refused(before: str, after: str, why: str) -> None:
    text = Rules((KEYS[0],), {"db": KEYS[2]}).text()
    assert before in text
    with pytest.raises(FieldlineError, match=r"has not the form") as error:
        rules.parse(text.replace(before, after))
    assert why in error.value.cause


@given(st.text(alphabet=string.printable, max_size=200))
def test_no_text_breaks_the_reader_of_rules(text: str) -> None:
    with pytest.raises(FieldlineError, match="has not the form"):
        rules.parse(text)


def declared() -> dict[str, object]:
    """What lib/ gives for two hosts, in short."""
    unit = {"credentials": {"a": "/run/secrets/influxdb-admin-password", "b": "/var/lib/x"}}
    return {
        "hosts": {
            "db": {
                "units": {"influxdb-provision": unit},
                "secretFiles": {
                    "console-password-hash": "shared.yaml",
                    "influxdb-admin-password": "hosts/db.yaml",
                    "opcua-oven-password": "hosts/db.yaml",
                },
            },
            "opc": {"units": {}, "secretFiles": {"console-password-hash": "shared.yaml"}},
        }
    }


def test_what_lib_gives_is_read() -> None:
    wanted = Wanted.of(declared())
    assert wanted.files() == {
        "hosts/db.yaml": ("influxdb-admin-password", "opcua-oven-password"),
        "hosts/opc.yaml": (),
        "shared.yaml": ("console-password-hash",),
    }
    assert wanted.sharing == {"db", "opc"}
    assert wanted.hosts_with("console-password-hash") == ["db", "opc"]
    assert [use.unit for use in wanted.uses["influxdb-admin-password"]] == ["influxdb-provision"]


def test_what_lib_gives_in_another_form_is_refused() -> None:
    for wrong in ({}, {"hosts": {"db": {}}}, {"hosts": {"db": {"units": 1, "secretFiles": {}}}}):
        with pytest.raises(FieldlineError, match="another form"):
            Wanted.of(wrong)
    files = {"hosts": {"db": {"units": {}, "secretFiles": {"x": "hosts/opc.yaml"}}}}
    with pytest.raises(FieldlineError, match="neither its host's nor shared"):
        Wanted.of(files)


@pytest.mark.parametrize(
    ("name", "is_given"),
    [
        *((name, True) for name in ("opcua-oven-password", "license", "opcua-a-b-password")),
        *((f"influxdb-admin-{kind}", False) for kind in ("password", "token", "key")),
        *((name, False) for name in (values.CONSOLE, values.CONSOLE_HASH, "host-key-db")),
        *((name, False) for name in (values.CLIENT_KEY, values.CLIENT_CERTIFICATE, "password")),
    ],
)
def test_what_nobody_can_make_is_asked_for(name: str, is_given: bool) -> None:
    assert values.is_given(name) is is_given


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("opcua-oven-password", ""),
        ("opcua-oven-password", "a\nb"),
        ("anything", "a\0b"),
        ("influxdb-admin-password", "ä" * 37),
    ],
)
def test_values_that_cannot_be_right_are_refused(name: str, value: str) -> None:
    with pytest.raises(FieldlineError, match=f"Give {name}|InfluxDB"):
        values.check(name, value)


def test_values_that_may_be_right_are_taken_as_they_are() -> None:
    for name, value in (("opcua-oven-password", " p ä "), ("opcua-client-key", "a\nb\n")):
        assert values.check(name, value) == value


def test_what_cannot_be_rotated_is_refused_with_the_steps() -> None:
    wanted = Wanted.of(declared())
    effects.refuse_what_cannot_rotate("influxdb-admin-password", wanted)
    effects.refuse_what_cannot_rotate("host-key-db", wanted)
    for name, text in (
        ("influxdb-admin-token", "influx auth create"),
        ("opcua-oven-password", "secrets set opcua-oven-password"),
        ("host-key-none", "The hosts are: db, opc"),
        ("grafana-admin-password", "no secret grafana-admin-password"),
    ):
        with pytest.raises(FieldlineError, match=text):
            effects.refuse_what_cannot_rotate(name, wanted)


def test_every_new_value_says_what_it_takes() -> None:
    wanted = Wanted.of(declared())
    deploy, restart = effects.steps("influxdb-admin-password", wanted)
    assert deploy.startswith("deploy db ")
    assert "influxdb-provision.service on db" in restart
    assert effects.steps(values.CONSOLE, wanted)[0].startswith("deploy db, opc ")
    assert "secrets install db" in effects.steps("host-key-db", wanted)[0]


def test_files_are_named_as_one_thinks_of_them() -> None:
    hosts = ["admin", "db"]
    for name in ("db", "hosts/db", "secrets/hosts/db.yaml"):
        assert file_named(name, hosts) == "hosts/db.yaml"
    assert file_named("shared", hosts) == "shared.yaml"
    assert file_named("admin", ["db"]) == "admin.yaml"
    # A host may be called so too.
    assert file_named("hosts/admin", hosts) == "hosts/admin.yaml"
    assert file_named("admin", hosts) == file_named("admin.yaml", hosts) == "admin.yaml"
    for name in ("opc", "", "../db", "hosts/../db"):
        with pytest.raises(FieldlineError, match="There is no file"):
            file_named(name, hosts)
