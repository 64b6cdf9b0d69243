"""The benchmarks of the whole chain: what they measure and which of their figures lead."""

from __future__ import annotations

from figures import Bench, Figure

_ABOUT = (
    "The whole chain on lab hosts, all of them and what measures on one machine (as root): the "
    "demonstration plant, and plants of ten variables at 1 Hz per asset, two models over three of "
    "them each. Each size is a lab of its own that begins without data; a minute is measured after "
    "20 s. Latency is from the source time to the first answer of InfluxDB that has the value, of "
    "up to 20 series, asked over and over (`poll_ms` is the time between two questions, and part "
    "of it). Beside it the demonstration plant with Telegraf's own flush interval. CPU is that of "
    "each unit's control group, memory its proportional set size. `fieldline verify` counts what "
    "is lost or doubled. InfluxDB's bytes are of its files after their compaction; of a series it "
    "has about 90 points by then, so they are more than a plant has that runs for days."
)
_SIZES = ("v100", "v1000", "v3000", "v10000", "v30000")


def _named(size: str) -> str:
    return f"{int(size[1:]):,} variables"


_SHARES = {"p50_ms": "p50", "p99_ms": "p99", "p999_ms": "p99.9"}
_LATENCY_BARS = {"v1000": 700.0, "v10000": 1200.0}

CHAIN = Bench(
    "chain",
    "chain.py",
    _ABOUT,
    15,
    (
        *(
            Figure(f"{what}, {_SHARES[share]}, demonstration", path, "ms", "less", bar)
            for what, share, bar in (
                ("values", "p50_ms", 200.0),
                ("values", "p99_ms", 400.0),
                ("values", "p999_ms", None),
                ("results", "p50_ms", 200.0),
                ("results", "p99_ms", 400.0),
                ("results", "p999_ms", None),
            )
            for path in (f"sizes.demonstration.latency.{what}.{share}",)
        ),
        *(
            Figure(
                f"values, {_SHARES[share]}, Telegraf's defaults",
                f"telegraf_defaults.latency.values.{share}",
                "ms",
                "less",
            )
            for share in ("p50_ms", "p99_ms")
        ),
        *(
            Figure(
                f"{what}, p99, {_named(size)}",
                f"sizes.{size}.latency.{what}.p99_ms",
                "ms",
                "less",
                _LATENCY_BARS.get(size),
            )
            for size in _SIZES
            for what in ("values", "results")
        ),
        *(
            Figure(f"lost or doubled, {_named(size)}", f"sizes.{size}.verify.{what}", "", "less", 0)
            for size in _SIZES
            for what in ("lost_or_doubled",)
        ),
        *(
            Figure(f"cores in use, {_named(size)}", f"sizes.{size}.cores", "cores", "less")
            for size in _SIZES
        ),
        *(
            Figure(
                f"newest value behind at the end, {_named(size)}",
                f"sizes.{size}.behind_s.end",
                "s",
                "less",
            )
            for size in _SIZES
        ),
        Figure("Kafka, per value", "sizes.*.kafka_bytes.per_value", "bytes", "less"),
        Figure("Kafka, per result", "sizes.*.kafka_bytes.per_result", "bytes", "less"),
        Figure(
            "InfluxDB, per value with its results",
            "sizes.*.influxdb_bytes.per_value",
            "bytes",
            "less",
        ),
        Figure("first value, warm", "sizes.demonstration.start.first", "s", "less", 10),
        Figure("of it until it is prepared", "sizes.demonstration.start.prepared", "s", "less"),
        Figure("of it until the hosts answer", "sizes.demonstration.start.booted", "s", "less"),
    ),
    ("--variables", "0,100,1000,3000,10000,30000", "--defaults"),
)
