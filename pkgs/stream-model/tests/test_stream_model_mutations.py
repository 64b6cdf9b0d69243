"""10,000 broken records: each is used, counted or dead-lettered, and nothing stops."""

from __future__ import annotations

import json
import random

from stream_model_reference import NOW, SECOND, START
from stream_model_run import GOOD_TEXT, Runner, dead_letters, make_log

COUNT = 10_000

VALUES = [
    None, True, False, 0, -1, 2**63, 2**64, 10**400, 1e308, -0.0, 5e-324, "", "20.1", "NaN",
    [], [1], {}, {"a": 1}, "\u0000", "\ud800", "😀", GOOD_TEXT, "BadNodeIdUnknown (0x80340000)",
    "0x480", "(0x0)", "x" * 1000, START, -START, float(START),
]  # fmt: skip
RAW = [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"1e-999", b"01", b"+1", b"0x10",
       b"9" * 5000, b"1." + b"1" * 3000, b"[" * 200_000, b'{"a":' * 50_000, b"'", b"tru", b"\xff",
       b"1,", b'"', b"\\u0000", b"/**/1"]  # fmt: skip


def original(rng: random.Random) -> dict:
    variable = rng.choice(["A", "B", "C", "Unused", "Unknown"])
    return {
        "fields": {variable: rng.choice([1.5, -2.5, 20.125]), "Quality": GOOD_TEXT},
        "name": "opc_server",
        "tags": {"asset": rng.choice(["x", "y"]), "id": "ns=2;i=2"},
        "timestamp": START + rng.randrange(40) * SECOND,
    }


def encode(record: object) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"


def mutate(rng: random.Random) -> bytes | None:
    record = original(rng)
    raw = encode(record)
    kind = rng.randrange(12)
    if kind == 0:
        return raw[: rng.randrange(len(raw))]
    if kind == 1:
        flipped = bytearray(raw)
        for _ in range(rng.randrange(1, 5)):
            flipped[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        return bytes(flipped)
    if kind in (2, 3, 4):
        where = rng.choice([record, record["fields"], record["tags"]])
        where[rng.choice(list(where))] = rng.choice(VALUES)
        return encode(record)
    if kind == 5:
        where = rng.choice([record, record["fields"], record["tags"]])
        del where[rng.choice(list(where))]
        return encode(record)
    if kind == 6:
        where = rng.choice([record, record["fields"], record["tags"]])
        where[rng.choice(["A", "name", "Quality", "DataType", "x" * 300, ""])] = rng.choice(VALUES)
        return encode(record)
    if kind == 7:
        number = str(next(iter(record["fields"].values()))).encode()
        return raw.replace(number, rng.choice(RAW), 1)
    if kind == 8:
        return raw.replace(str(record["timestamp"]).encode(), rng.choice(RAW), 1)
    if kind == 9:
        return rng.choice([None, b"", b"\n", b"null", b"[]", b"{}", b"0", raw + raw, raw[::-1]])
    if kind == 10:
        return raw.decode().encode(rng.choice(["utf-16", "utf-32", "utf-8-sig"]))
    place = rng.randrange(len(raw))
    return raw[:place] + rng.randbytes(rng.randrange(1, 20)) + raw[place:]


async def test_each_is_used_counted_or_dead_lettered() -> None:
    rng = random.Random(20261122)
    log = make_log(2)
    for number in range(COUNT):
        await log.produce(number % 2, mutate(rng), b"k", NOW // 10**6)
    runner = Runner(log)
    await runner.drain()
    kinds = {
        kind: runner.metric("inputs_total", kind=kind)
        for kind in ("used", "repeated", "unused", "rejected")
    }
    assert sum(kinds.values()) == COUNT
    assert all(kinds.values())
    letters = dead_letters(log)
    assert len(letters) == kinds["rejected"] == runner.metric("dead_letters_total")
    assert kinds["rejected"] > COUNT / 2
    reasons = (
        "unparsable wrong-shape unknown-measurement unknown-asset unknown-variable bad-quality "
        "no-value no-number not-finite bad-timestamp too-late"
    )
    counts = {reason: runner.metric("rejected_total", reason=reason) for reason in reasons.split()}
    assert sum(counts.values()) == kinds["rejected"], counts
    # too-late needs other times than these; all other reasons are met.
    assert {reason for reason, count in counts.items() if not count} <= {"too-late"}, counts
