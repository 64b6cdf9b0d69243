"""The arguments that services share."""

from __future__ import annotations

from pathlib import Path

import pytest
from fieldline.errors import FieldlineError
from fieldline.service.arguments import (
    check_bootstrap_servers,
    check_instance,
    parse_address,
    parse_duration,
    parse_files,
)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("127.0.0.1:9102", ("127.0.0.1", 9102)),
        ("[::1]:0", ("::1", 0)),
        ("kafka.plant:9092", ("kafka.plant", 9092)),
        (":9102", ("", 9102)),
    ],
)
def test_an_address(text: str, parsed: tuple[str, int]) -> None:
    assert parse_address("--metrics", text) == parsed


@pytest.mark.parametrize("text", ["", "9102", "a:", "::1:9102", "a:65536", "a:-1", "a:b", "[::1]"])
def test_a_wrong_address_is_refused_with_its_option(text: str) -> None:
    with pytest.raises(FieldlineError, match="--metrics"):
        parse_address("--metrics", text)


def test_bootstrap_servers() -> None:
    assert check_bootstrap_servers("-b", "a:1,[::1]:2") == "a:1,[::1]:2"
    for wrong in ("", "a", "a:1,", "a:0", ":9092"):
        with pytest.raises(FieldlineError):
            check_bootstrap_servers("-b", wrong)


def test_a_members_name() -> None:
    assert check_instance("--instance", None) is None
    assert check_instance("--instance", "collector_2.a-b") == "collector_2.a-b"
    for wrong in ("", ".", "..", "a b", "a/b", "a" * 250, "é"):
        with pytest.raises(FieldlineError, match="--instance"):
            check_instance("--instance", wrong)


def test_durations() -> None:
    assert parse_duration("--horizon", "5min") == 300_000
    for wrong in ("", "60", "0s", "999ms", "2d", "-1s", "1 s"):
        with pytest.raises(FieldlineError, match="--horizon"):
            parse_duration("--horizon", wrong)


def test_bounds_of_durations() -> None:
    assert parse_duration("--window", "2d", most=3 * 86_400_000) == 2 * 86_400_000
    with pytest.raises(FieldlineError, match="--window"):
        parse_duration("--window", "4d", most=3 * 86_400_000)


def test_files_by_name() -> None:
    names = ("influxdb2", "telegraf")
    assert parse_files("--f", [], names) == {}
    found = parse_files("--f", ["telegraf=/a=b", "influxdb2=c"], names)
    assert found == {"telegraf": Path("/a=b"), "influxdb2": Path("c")}


def test_files_by_any_name() -> None:
    assert parse_files("--f", ["plc=/a=b"]) == {"plc": Path("/a=b")}
    for text in ("", "plc", "plc=", "=/a"):
        with pytest.raises(FieldlineError, match=r"--f .*NAME=FILE"):
            parse_files("--f", [text])


@pytest.mark.parametrize("text", ["", "telegraf", "telegraf=", "=/a", "grafana=/a"])
def test_a_wrong_file_by_name_is_refused_with_its_option(text: str) -> None:
    with pytest.raises(FieldlineError, match=r"--f .*telegraf=FILE"):
        parse_files("--f", [text], ["telegraf"])
