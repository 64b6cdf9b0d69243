"""What others may ask of the service: what it waits for, failing models, refused records."""

from __future__ import annotations

import urllib.request
from collections import Counter

import structlog
from fieldline import __version__
from fieldline.service import HttpServer
from fieldline.states import (
    STATE_PATH,
    FailingModel,
    RefusedRecords,
    StreamModelState,
    decode_state,
)
from prometheus_client import CollectorRegistry
from stream_model.partition import Work
from stream_model.reports import Reports
from stream_model.shown import Shown
from stream_model.step import Outcome

NOW = 1_700_000_000_000_000_000
SECOND = 10**9


def test_a_wait_has_its_begin_until_it_is_over() -> None:
    now = iter([NOW, NOW + SECOND])
    shown = Shown(lambda: next(now))
    assert shown.state() == StreamModelState(__version__)
    shown.waits("Kafka is away")
    shown.waits("Kafka is away")
    assert (shown.state().waiting, shown.state().waiting_since_ns) == ("Kafka is away", NOW)
    shown.waits("no topic")
    assert shown.state().waiting_since_ns == NOW + SECOND
    shown.waits("")
    assert shown.state() == StreamModelState(__version__)


def test_refused_records_and_failing_models_are_shown_with_their_last_time() -> None:
    shown = Shown()
    reports = Reports(structlog.get_logger(), shown)
    failing = Outcome()
    failing.model_errors = {"sensors.model1": (2, "ValueError: no")}
    reports.report(0, Work(3, failing, Counter({"bad-quality": 3}), {"bad-quality": 7}), NOW)
    reports.report(
        0, Work(1, Outcome(), Counter({"bad-quality": 1}), {"bad-quality": 9}), NOW + SECOND
    )
    assert shown.state().refused == [RefusedRecords("bad-quality", 4, NOW + SECOND)]
    assert shown.state().failing == [FailingModel("sensors.model1", "ValueError: no", NOW)]
    well = Outcome()
    well.given = Counter({"sensors.model1": 1})
    reports.report(0, Work(1, well), NOW + SECOND)
    # It counts as recovered only after a minute without a failure.
    assert shown.state().failing
    reports.report(0, Work(1, well), NOW + 61 * SECOND)
    assert shown.state().failing == []


def test_it_is_served_beside_the_metrics() -> None:
    shown = Shown()
    shown.works_on({3, 1})
    server = HttpServer(
        "127.0.0.1", 0, registry=CollectorRegistry(), routes={STATE_PATH: shown.route}
    )
    server.start()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/state", timeout=5) as answer:
            state = decode_state(answer.read(), StreamModelState)
    finally:
        server.stop()
    assert state == StreamModelState(__version__, [1, 3])
