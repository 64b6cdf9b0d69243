"""What the admin's side makes of what a host answers, or does not."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from fieldline.deploy import command as deploy_command
from fieldline.deploy.remote import NO_CONNECTION, Answer, Ssh
from fieldline.deploy.run import GO_BACK_SECONDS, MARGIN_SECONDS, Deployment, Outcome
from fieldline.errors import FieldlineError
from typer.testing import CliRunner

SYSTEM = "/nix/store/new"
WITHIN = 60.0
DEAF = Answer(NO_CONNECTION, "", "Connection timed out")
SITE = Path(__file__).parents[3] / "site.toml"


class World:
    """A host with a guard, on a clock of its own: each command takes a second."""

    def __init__(self) -> None:
        self.clock = 0.0
        self.phase: str | None = None
        self.reason = ""
        self.began = 0.0
        self.asked: list[str] = []
        self.deaf: Callable[[], bool] = lambda: False
        self.fresh = Answer(0, '{"ok": true, "seconds": 2.5, "missing": []}', "")
        self.switches_after = 3.0
        self.goes_back_after = 2.0
        self.facts: dict[str, str] = {}

    def guard(self) -> None:
        """What the host's own clock has decided by now."""
        passed = self.clock - self.began
        if self.phase == "testing" and passed >= self.switches_after:
            self.phase = "waiting"
        if self.phase in ("testing", "waiting") and passed >= WITHIN:
            self.phase, self.reason = "reverting", "nobody confirmed in time"
        if self.phase == "reverting" and passed >= WITHIN + self.goes_back_after:
            self.phase = "reverted"

    def status(self) -> str:
        self.guard()
        armed = self.phase not in (None, "confirmed", "reverted")
        left = max(WITHIN - (self.clock - self.began), 0.0)
        value = {"armed": armed, "phase": self.phase, "reason": self.reason, "remaining_s": left}
        return json.dumps(value | ({"id": "id", "new": SYSTEM} if self.phase else {}))

    def answer(self, argv: Sequence[str]) -> Answer:
        self.clock += 1
        self.guard()
        words = " ".join(argv)
        self.asked.append(words)
        if self.deaf():
            return DEAF
        if "guard status" in words:
            return Answer(0, self.status(), "")
        if "guard start" in words:
            self.phase, self.began = "testing", self.clock
            return Answer(0, self.status(), "")
        if "guard confirm" in words:
            if self.phase != "waiting":
                return Answer(1, "", "It comes too late")
            self.phase = "confirmed"
            return Answer(0, self.status(), "")
        if "fieldline wait" in words:
            if self.fresh.code == 1:
                self.clock += (
                    float(argv[argv.index("--fresh-within") + 1].removesuffix("ms")) / 1000
                )
            return self.fresh
        system = next(name for name in ("/run/current-system", SYSTEM) if name in words)
        return Answer(0, self.facts.get(system, ""), "")


class Way:
    """One way to a host."""

    def __init__(self, world: World, works: Callable[[], bool] = lambda: True) -> None:
        self.world = world
        self.works = works

    def run(self, argv: Sequence[str], timeout: float | None = None) -> Answer:
        assert timeout is not None
        if not self.works():
            self.world.clock += 1
            return DEAF
        return self.world.answer(argv)


class Said:
    """What was told."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.texts: list[str] = []

    def __call__(self, event: str, text: str, **_data: Any) -> None:
        self.events.append(event)
        self.texts.append(text)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def said() -> Said:
    return Said()


def deployment(world: World, said: Said, **more: Any) -> Deployment:
    def sleep(seconds: float) -> None:
        world.clock += seconds

    values: dict[str, Any] = {
        "ways": [Way(world)],
        "database": None,
        "fresh": True,
        "clock": lambda: world.clock,
        "sleep": sleep,
    }
    return Deployment(name="db", say=said, **{**values, **more})


def done(world: World, said: Said, **more: Any) -> tuple[Outcome, Deployment]:
    one = deployment(world, said, **more)
    one.check_idle()
    one.start(SYSTEM, WITHIN)
    return one.watch(), one


def test_confirmed(world: World, said: Said) -> None:
    outcome, one = done(world, said)
    assert (outcome, one.id, world.phase) == (Outcome.CONFIRMED, "id", "confirmed")
    assert said.events == ["armed", "switched", "waiting", "fresh"]
    # It was asked for fresh data only once it had switched, and not beyond what is left.
    waited = next(words for words in world.asked if "fieldline wait" in words)
    within = float(waited.split("--fresh-within ")[1].split("ms")[0]) / 1000
    assert within <= WITHIN - world.switches_after - MARGIN_SECONDS


def test_the_database_may_be_elsewhere(world: World, said: Said) -> None:
    other = World()
    outcome, _ = done(world, said, database=Way(other))
    assert outcome is Outcome.CONFIRMED
    assert [words for words in world.asked if "fieldline wait" in words] == []
    assert len(other.asked) == 1


def test_a_site_without_a_database_is_confirmed_by_its_answer(world: World, said: Said) -> None:
    outcome, _ = done(world, said, fresh=False)
    assert outcome is Outcome.CONFIRMED
    assert "nobody looks for fresh data" in said.texts[-1]


def test_without_fresh_data_it_goes_back(world: World, said: Said) -> None:
    missing = {"missing": [{"asset": "press1", "name": f"V{n}"} for n in range(7)]}
    world.fresh = Answer(1, json.dumps(missing), "")
    outcome, one = done(world, said)
    assert (outcome, world.phase) == (Outcome.WENT_BACK, "reverted")
    assert "no fresh data of 7 series: press1 V0" in one.problems[0]
    assert one.problems[-1] == "the host says: nobody confirmed in time"
    assert not any("confirm" in words for words in world.asked)


def test_a_database_that_gives_no_answer(world: World, said: Said) -> None:
    world.fresh = Answer(69, "", "InfluxDB is not there")
    outcome, one = done(world, said)
    assert outcome is Outcome.WENT_BACK
    assert one.problems[0] == "no fresh data: InfluxDB is not there"


def test_a_database_host_that_cannot_be_reached(world: World, said: Said) -> None:
    other = World()
    outcome, one = done(world, said, database=Way(other, lambda: False))
    assert outcome is Outcome.WENT_BACK
    assert "database's host does not answer" in one.problems[0]


def test_a_host_that_is_cut_off_comes_back(world: World, said: Said) -> None:
    world.deaf = lambda: world.phase in ("testing", "waiting", "reverting")
    outcome, one = done(world, said)
    assert outcome is Outcome.WENT_BACK
    assert one.problems[0] == "db does not answer by ssh"
    assert any("goes back by itself" in text for text in said.texts)


def test_a_host_that_never_comes_back_is_unknown(world: World, said: Said) -> None:
    world.deaf = lambda: world.phase is not None
    outcome, _ = done(world, said)
    assert outcome is Outcome.UNKNOWN
    assert world.clock >= WITHIN + GO_BACK_SECONDS


def test_a_switch_that_fails_is_told_at_once(world: World, said: Said) -> None:
    one = deployment(world, said)
    one.start(SYSTEM, WITHIN)
    world.phase, world.reason = "reverted", "the switch failed: exit 1"
    assert one.watch() is Outcome.WENT_BACK
    assert one.problems == ["the host says: the switch failed: exit 1"]
    assert world.clock < WITHIN


def test_a_host_with_another_address_is_found_there(world: World, said: Said) -> None:
    before = Way(world, lambda: world.phase is None)
    outcome, one = done(world, said, ways=[before, Way(world)])
    assert outcome is Outcome.CONFIRMED
    assert one.ways[0] is not before


def test_a_confirmation_that_is_lost_on_its_way_back_is_one(world: World, said: Said) -> None:
    lost = [True]

    class Losing(Way):
        def run(self, argv: Sequence[str], timeout: float | None = None) -> Answer:
            answer = super().run(argv, timeout)
            return DEAF if "confirm" in argv and lost.pop() else answer

    outcome, _ = done(world, said, ways=[Losing(world)])
    assert outcome is Outcome.CONFIRMED


def test_a_confirmation_that_comes_too_late(world: World, said: Said) -> None:
    slow = world.answer

    def late(argv: Sequence[str]) -> Answer:
        if "confirm" in argv:
            world.clock += WITHIN
        return slow(argv)

    world.answer = late  # type: ignore[method-assign]
    outcome, one = done(world, said)
    assert outcome is Outcome.WENT_BACK
    assert "It comes too late" in one.problems[0]


# -- refused --------------------------------------------------------------------------------------


def test_nothing_begins_where_it_cannot(world: World, said: Said) -> None:
    one = deployment(world, said)
    world.deaf = lambda: True
    with pytest.raises(FieldlineError, match="cannot be reached by ssh; nothing was changed"):
        one.check_idle()
    world.deaf = lambda: False
    world.phase, world.began = "testing", world.clock
    with pytest.raises(FieldlineError, match="under guard already: switch id, testing"):
        one.check_idle()
    world.answer = lambda _argv: Answer(1, "", "sudo: a password is required")  # type: ignore[method-assign]
    with pytest.raises(FieldlineError, match="no guard that this user may ask") as refused:
        one.check_idle()
    assert refused.value.cause == "sudo: a password is required"
    with pytest.raises(FieldlineError, match="did not begin the switch"):
        one.start(SYSTEM, WITHIN)
    with pytest.raises(FieldlineError, match="cannot be read"):
        one.facts()


def test_a_start_without_an_answer_is_looked_for(world: World, said: Said) -> None:
    class Losing(Way):
        def run(self, argv: Sequence[str], timeout: float | None = None) -> Answer:
            answer = super().run(argv, timeout)
            return DEAF if "start" in argv else answer

    outcome, one = done(world, said, ways=[Losing(world)])
    assert (outcome, one.id) == (Outcome.CONFIRMED, "id")
    dead = deployment(world, said, ways=[Way(world, lambda: False)])
    with pytest.raises(FieldlineError, match="If it has begun, the host goes back") as unknown:
        dead.start(SYSTEM, WITHIN)
    assert getattr(unknown.value, "code", 1) == Outcome.UNKNOWN


# -- the command ----------------------------------------------------------------------------------


@pytest.fixture
def here(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """`fieldline deploy` whose ssh reaches the world."""

    def run(_ssh: Ssh, argv: Sequence[str], _timeout: float | None = None) -> Answer:
        return world.answer(argv)

    monkeypatch.setattr(Ssh, "run", run)
    monkeypatch.setattr("fieldline.deploy.run.POLL_SECONDS", 0.0)
    return world


def deploy(*arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    argv = ["db", "--site", str(SITE), "--system", SYSTEM, "--json", *arguments]
    result = CliRunner().invoke(deploy_command.app, argv)
    error = str(result.exception) if isinstance(result.exception, FieldlineError) else ""
    lines = [line for line in result.stdout.splitlines() if line.startswith("{")]
    return result.exit_code, [json.loads(line) for line in lines], error


def test_the_command_confirms(here: World) -> None:
    code, events, _ = deploy()
    assert (code, here.phase) == (0, "confirmed")
    assert events[-1]["outcome"] == "confirmed"


def test_the_command_tells_what_went_back(here: World) -> None:
    start = here.answer

    def answer(argv: Sequence[str]) -> Answer:
        given = start(argv)
        if "start" in argv:
            here.phase, here.reason = "reverted", "the switch failed"
        return given

    here.answer = answer  # type: ignore[method-assign]
    code, events, _ = deploy()
    assert (code, events[-1]["outcome"], events[-1]["code"]) == (3, "went-back", 3)


def test_a_dry_run_switches_nothing(here: World) -> None:
    code, events, _ = deploy("--dry-run")
    assert (code, [event["event"] for event in events]) == (0, ["dry-run"])
    assert here.phase is None


def test_kafkas_metadata_rises_with_a_backup_only(here: World, tmp_path: Path) -> None:
    here.facts = {
        "/run/current-system": '{"kafka_metadata": "4.0"}',
        SYSTEM: '{"kafka_metadata": "4.1"}',
    }
    code, _, error = deploy()
    assert (code, here.phase) == (1, None)
    assert "rises from 4.0 to 4.1" in error
    archive = tmp_path / "backup.tar"
    archive.write_text("data")
    assert deploy("--backup", str(archive))[0] == 0


def test_ctrl_c_leaves_the_host_to_its_guard(here: World) -> None:
    def interrupted(argv: Sequence[str]) -> Answer:
        if "wait" in argv:
            raise KeyboardInterrupt
        return World.answer(here, argv)

    here.answer = interrupted  # type: ignore[method-assign]
    code, events, _ = deploy()
    assert code == 130
    assert events[-1]["event"] == "interrupted"
    assert "goes back by itself" in events[-1]["text"]
    assert here.phase == "waiting"


def test_a_wrong_time_is_refused(here: World) -> None:
    assert deploy("--within", "1s")[0] == 2
    assert here.asked == []
