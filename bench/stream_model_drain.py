"""How fast the stream model works without Kafka: the pure step, and all that is done with a record.

    python bench/stream_model_drain.py [--inputs 300000]

Prints one JSON object. Inputs are Telegraf's JSON of three variables arriving 40:4:1, two results
per input. CPU is this process's own. With Kafka: `stream_model_exactly_once.py`.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
for folder in ("pkgs/fieldline/src", "pkgs/stream-model/src"):
    sys.path.insert(0, str(ROOT / folder))

from fieldline.messages import OpcValue, decode_opc  # noqa: E402
from fieldline.site import load_site  # noqa: E402
from fieldline.stream import Changelog, Range, Topics  # noqa: E402
from fieldline.stream.changelog import Position  # noqa: E402
from fieldline.stream.memory import MemoryRecord  # noqa: E402
from stream_model.partition import ModelProcessor  # noqa: E402
from stream_model.plan import Plan, make_plan  # noqa: E402
from stream_model.step import State, replay, step  # noqa: E402

HORIZON_NS = 60 * 10**9
GOOD = "The operation succeeded. StatusGood (0x0)"
START = 1_700_000_000_000_000_000
LOOKBACK_MS = 60_000
TOPICS = Topics("group", "opc", "state", ("model", "dead"))


def plan_for(assets: Sequence[str]) -> Plan:
    """The demonstration plant's models for these assets."""
    kind = make_plan(load_site(ROOT / "site.toml")).assets["Sensors"]
    return Plan(dict.fromkeys(assets, kind))


def messages(count: int, assets: Sequence[str]) -> list[tuple[bytes, bytes]]:
    """Key and value of so many records, in order of arrival."""
    rng = random.Random(1)
    made: list[tuple[bytes, bytes]] = []
    turn = 0
    while len(made) < count:
        turn += 1
        for asset in assets:
            now = START + turn * 200_000_000
            for number, (variable, every) in enumerate(
                (("Temperature", 1), ("Pressure", 10), ("SlowSensor", 40))
            ):
                if turn % every == 0:
                    record = {
                        "fields": {variable: rng.uniform(-50, 150), "Quality": GOOD},
                        "name": "opc_server",
                        "tags": {"asset": asset, "id": f"ns=2;i={number + 2}"},
                        "timestamp": now + number * 1000,
                    }
                    text = json.dumps(record, separators=(",", ":")) + "\n"
                    made.append((asset.encode(), text.encode()))
    return made[:count]


def measure(count: int, work: Callable[[], int]) -> dict[str, float]:
    """Run `work`, which gives the number of results."""
    wall, cpu = time.perf_counter(), time.process_time()
    results = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "inputs_per_s": round(count / wall),
        "cpu_s_per_100k": round(cpu / count * 1e5, 3),
        "results": results,
    }


def stored(made: Sequence[tuple[bytes, bytes]]) -> list[MemoryRecord]:
    """The records in the log, as if all came after the last source time."""
    now_ms = START // 10**6 + 10**9
    return [MemoryRecord(n, now_ms, key, value) for n, (key, value) in enumerate(made)]


def pure(
    values: Sequence[OpcValue], log: Sequence[MemoryRecord], plan: Plan, batch: int
) -> dict[str, float]:
    """Only the step."""
    state = State(plan, HORIZON_NS)

    def work() -> int:
        results = 0
        for start in range(0, len(values), batch):
            end = start + batch
            results += len(step(state, values[start:end], log[start:end])[1].results)
        return results

    return measure(len(values), work)


def replayed(
    values: Sequence[OpcValue], log: Sequence[MemoryRecord], plan: Plan
) -> dict[str, float]:
    """Rebuilding a state, which takes values one by one."""

    def work() -> int:
        replay(State(plan, HORIZON_NS), values, log)
        return 0

    return measure(len(values), work)


def records(log: Sequence[MemoryRecord], plan: Plan, batch: int) -> dict[str, float]:
    """Decode, step, encode, changelog: all that is done with a record, but Kafka."""
    processor = ModelProcessor(TOPICS, 0, State(plan, HORIZON_NS), LOOKBACK_MS)
    changelog = Changelog()

    def work() -> int:
        results = 0
        for start in range(0, len(log), batch):
            done = processor.step(log[start : start + batch], START + 10**15)
            changelog.add(Position(start, 0), done.context, done.changes, processor.snapshot)
            results += len(done.outputs["model"])
        return results

    return measure(len(log), work)


def recomputed(made: Sequence[tuple[bytes, bytes]], plan: Plan) -> dict[str, float]:
    """Filling the middle third, after all the rest; what is read again counts as input.

    longest_ms: CPU of the longest piece of work, for which live records have to wait. The horizon
    is shorter here, so that a third of few values of many assets is behind it.
    """
    third = len(made) // 3
    log = stored([*made[:third], *made[2 * third :], *made[third : 2 * third]])
    processor = ModelProcessor(TOPICS, 0, State(plan, HORIZON_NS // 10), LOOKBACK_MS)
    for start in range(0, len(log), 5000):
        processor.step(log[start : start + 5000], START + 10**15)
    # The first look finds that values have just come, the second that it is long ago.
    work = processor.rereading(len(log), 0.0) or processor.rereading(len(log), 10.0**6)
    assert work is not None
    longest, read, results = 0.0, 0, 0
    # All that this bench holds would be looked through in the middle of a piece.
    gc.collect()
    gc.freeze()
    cpu = time.process_time()
    pieces = work.run()
    begin = time.process_time()
    for piece in pieces:
        longest = max(longest, time.process_time() - begin)
        if isinstance(piece, Range):
            start = piece.start or 0
            for place in range(start, piece.end, 1000):
                begin = time.process_time()
                work.take(log[place : min(place + 1000, piece.end)])
                longest = max(longest, time.process_time() - begin)
            read += piece.end - start
            work.taken(start, 0)
        elif piece is not None:
            results += len(piece.outputs.get("model", ()))
        begin = time.process_time()
    cpu = time.process_time() - cpu
    return {
        "read": read,
        "results": results,
        "cpu_s": round(cpu, 2),
        "read_per_cpu_s": round(read / cpu),
        "longest_ms": round(1000 * longest, 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=300_000)
    options = parser.parse_args()
    figures: dict[str, object] = {
        "inputs": options.inputs,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    for label, count in (("1_asset", 1), ("1000_assets", 1000)):
        assets = ["Sensors", *(f"asset{n}" for n in range(1, count))]
        plan = plan_for(assets)
        made = messages(options.inputs, assets)
        values = [decode_opc(value) for _, value in made]
        log = stored(made)
        figures[f"step_{label}"] = {
            f"batch_{batch}": pure(values, log, plan, batch) for batch in (5000, 500, 50)
        }
        figures[f"single_{label}"] = pure(values[: options.inputs // 20], log, plan, 1)
        figures[f"replay_{label}"] = replayed(values, log, plan)
        figures[f"records_{label}"] = records(log, plan, 5000)
        figures[f"recompute_{label}"] = recomputed(made, plan)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
