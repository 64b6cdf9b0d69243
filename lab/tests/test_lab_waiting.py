"""What a unit's state means for a boot."""

import pytest
from fieldline_lab.waiting import parse

BASE = {"Id": "a.service", "LoadState": "loaded", "Type": "simple", "Result": "success"}


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ({"ActiveState": "active", "SubState": "running"}, "running"),
        ({"ActiveState": "active", "SubState": "exited", "Type": "oneshot"}, "running"),
        ({"ActiveState": "activating", "SubState": "auto-restart"}, "waiting"),
        ({"ActiveState": "failed", "Result": "exit-code"}, "failed"),
        ({"ActiveState": "inactive", "Job": "12"}, "waiting"),
        ({"ActiveState": "inactive"}, "stopped"),
        # `no` is also what a unit says whose condition was never looked at.
        ({"ActiveState": "inactive", "ConditionResult": "no"}, "stopped"),
        (
            {
                "ActiveState": "inactive",
                "ConditionResult": "no",
                "ConditionTimestampMonotonic": "7",
            },
            "running",
        ),
        (
            {
                "ActiveState": "inactive",
                "Type": "oneshot",
                "ExecMainExitTimestampMonotonic": "7",
                "ConditionResult": "yes",
            },
            "running",
        ),
        ({"ActiveState": "inactive", "LoadState": "not-found"}, "failed"),
    ],
)
def test_verdict(values: dict[str, str], verdict: str) -> None:
    text = "\n".join(f"{key}={value}" for key, value in (BASE | values).items())
    (state,) = parse(text + "\n")
    assert state.verdict == verdict


def test_several_units() -> None:
    text = (
        "Id=a.service\nLoadState=loaded\nActiveState=active\nSubState=running\nNRestarts=3\n"
        "StateChangeTimestamp=@1795372026\nResult=success\n\n"
        "Id=b.service\nLoadState=loaded\nActiveState=failed\nSubState=failed\nResult=exit-code\n"
        "ExecMainStatus=78\nStateChangeTimestamp=\n"
    )
    first, second = parse(text)
    assert (first.name, first.text, first.since) == (
        "a.service",
        "active (running), 3 restarts",
        1795372026.0,
    )
    assert (second.text, second.since) == ("failed (failed), exit-code 78", None)
