"""The benchmarks: what each measures, how, and which of its figures lead.

A benchmark is a script here that prints one JSON object on its standard output. `run` keeps that
object, compares it with the last one kept, and writes the page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """A figure that leads.

    path: its place in the result, keys with dots between them; `*` stands for each item of a list.
    bar: what is to be reached, if there is such a thing; better: which direction is.
    """

    label: str
    path: str
    unit: str
    better: Literal["more", "less"]
    bar: float | None = None

    def values(self, result: object) -> list[float]:
        """All values at its place, in order; none where the result has no such place."""
        return list(_values(result, self.path.split(".")))

    def met(self, values: Sequence[float]) -> bool | None:
        """Whether each of these values reaches the bar; None without a bar or a value."""
        if self.bar is None or not values:
            return None
        if self.better == "more":
            return min(values) >= self.bar
        return max(values) <= self.bar


def _values(found: object, path: Sequence[str]) -> Iterator[float]:
    if not path:
        if isinstance(found, int | float) and not isinstance(found, bool):
            yield float(found)
        return
    key, rest = path[0], path[1:]
    if key == "*" and isinstance(found, list):
        for item in found:
            yield from _values(item, rest)
    elif isinstance(found, Mapping) and key in found:
        yield from _values(found[key], rest)


@dataclass(frozen=True)
class Bench:
    """A benchmark.

    name: of its results; script: in this folder. about: method and caveats, for the page.
    minutes: what it takes on two cores, to tell who starts it.
    """

    name: str
    script: str
    about: str
    minutes: float
    figures: tuple[Figure, ...]
    arguments: tuple[str, ...] = ()


_POLICIES = {
    "kernel": "flushed by the kernel (Kafka's default)",
    "each_second": "flushed each second",
    "each_write": "flushed at each write (ours)",
}

BENCHES = (
    Bench(
        "opc-server-scale",
        "opc_server_scale.py",
        "Adding 10,000 variables in 1,000 assets to the address space; then 3,000 variables at "
        "1 Hz for 20 s with one subscribed client, which must hear each value that is recorded.",
        1,
        (
            Figure("adding 10,000 variables", "adding.adding_variables_s", "s", "less"),
            Figure("CPU per published value", "running.server_cpu_us_per_value", "µs", "less"),
            Figure(
                "recorded and not heard",
                "running.values_recorded_and_not_heard_by_the_client",
                "values",
                "less",
                0,
            ),
            Figure("ticks skipped", "running.overruns", "ticks", "less", 0),
            Figure("resident", "running.server_resident_mib", "MiB", "less"),
        ),
    ),
    Bench(
        "stream-model-drain",
        "stream_model_drain.py",
        "Without Kafka: 300,000 inputs of three variables arriving 40:4:1, two results each. "
        "First the pure step; then with decoding, encoding and the changelog.",
        1,
        (
            Figure("step, 1 asset", "step_1_asset.batch_5000.inputs_per_s", "inputs/s", "more"),
            Figure(
                "step, 1,000 assets", "step_1000_assets.batch_5000.inputs_per_s", "inputs/s", "more"
            ),
            Figure("all of it, 1 asset", "records_1_asset.inputs_per_s", "inputs/s", "more"),
            Figure(
                "all of it, 1,000 assets", "records_1000_assets.inputs_per_s", "inputs/s", "more"
            ),
        ),
    ),
    Bench(
        "stream-model-exactly-once",
        "stream_model_exactly_once.py",
        "The service on a real Kafka, as a reader of committed records sees it: 300,000 inputs, "
        "two results each, the service on one core, Kafka and the driver on the other. Rates count "
        "from the first committed result to the last. Beside it, in turns: a plain aiokafka loop "
        "(at least once, one message at a time), quixstreams (exactly-once), and kcat, which only "
        "fetches the same topic. What limits: with one asset the service's core (making records: "
        "aiokafka's consumer records, JSON in and out, record batches; no single part above a "
        "tenth); with 10,000 assets a window, a change and a matrix row for each input rather than "
        "each batch. Latency is five requests one after the other, and with four partitions four "
        "transactions a round. Two instances share the two cores with Kafka, which needs most of "
        "one: 1.6 is for a machine with a core more.",
        9,
        (
            Figure(
                "drain, 1 asset", "one_asset.exactly_once.*.inputs_per_s", "inputs/s", "more", 120e3
            ),
            Figure(
                "drain, 1 asset, of a whole core",
                "one_asset.exactly_once.*.inputs_per_cpu_s",
                "inputs/s",
                "more",
            ),
            Figure("drain, 10,000 assets", "10000_assets.inputs_per_s", "inputs/s", "more", 120e3),
            Figure(
                "two instances, 10,000 assets",
                "10000_assets_two_instances.inputs_per_s",
                "inputs/s",
                "more",
            ),
            Figure("two instances against one", "two_instances_times", "times", "more", 1.6),
            Figure("p99 at 1,000/s, 1 asset", "latency_one_asset.*.p99_ms", "ms", "less", 60),
            Figure("p50 at 1,000/s, 1 asset", "latency_one_asset.*.p50_ms", "ms", "less"),
            Figure(
                "p99 at 1,000/s, 10,000 assets", "latency_10000_assets.p99_ms", "ms", "less", 60
            ),
            Figure("resident, 1 asset", "one_asset.exactly_once.*.rss_mb", "MB", "less", 100),
            Figure("resident, 10,000 assets", "10000_assets.rss_mb", "MB", "less", 100),
            Figure("restore of 10,000 assets", "restore_10000_assets.seconds", "s", "less", 3),
            Figure(
                "against a plain aiokafka loop, per core",
                "one_asset.times_faster_per_cpu_s_than.plain",
                "times",
                "more",
            ),
            Figure(
                "against quixstreams, per core",
                "one_asset.times_faster_per_cpu_s_than.quixstreams",
                "times",
                "more",
            ),
            Figure("kcat, fetching only", "one_asset.kcat.*.inputs_per_s", "inputs/s", "more"),
        ),
    ),
    Bench(
        "kafka-flush",
        "kafka_flush.py",
        "What it costs that Kafka has on disk what it has acknowledged: three brokers in turns, "
        "the stream model on each. A disk that is slower than this one's `fdatasync` makes more "
        "of a difference.",
        5,
        (
            Figure("the disk's fdatasync of 500 bytes", "fdatasync_ms.p50", "ms", "less"),
            *(
                figure
                for key, words in _POLICIES.items()
                for figure in (
                    Figure(f"p50 of a result, {words}", f"{key}.*.latency.p50_ms", "ms", "less"),
                    Figure(f"p99 of a result, {words}", f"{key}.*.latency.p99_ms", "ms", "less"),
                    Figure(
                        f"backlog, {words}", f"{key}.*.backlog.inputs_per_s", "inputs/s", "more"
                    ),
                )
            ),
        ),
    ),
    Bench(
        "replay",
        "replay.py",
        "`fieldline replay` over 10 min of 100 assets with three variables at 5 Hz each in a real "
        "InfluxDB: 1,500 values and 3,000 results a second, no two of an asset at one time, so "
        "that each value is an event. First the first half, then all of it, comparing only; then "
        "all of it once more with the results written. InfluxDB and the replay share the cores.",
        6,
        (
            Figure(
                "values read, two results of each compared", "whole.values_per_s", "1/s", "more"
            ),
            Figure("with the results written", "written.values_per_s", "1/s", "more"),
            Figure(
                "faster than it was recorded",
                "whole.times_faster_than_it_was_recorded",
                "times",
                "more",
            ),
            Figure("resident, half of the time", "half.peak_mb", "MB", "less"),
            Figure("resident, all of it", "whole.peak_mb", "MB", "less"),
            Figure("resident, with the results written", "written.peak_mb", "MB", "less"),
        ),
    ),
    Bench(
        "backup",
        "backup.py",
        "On a lab's database host with the plant running (as root): how long each server stands "
        "still for `fieldline backup`, with little data, and with 4 GiB of closed segments and as "
        "much of TSM files; beside it stop, tar, start. Most of Kafka's time is its own start.",
        10,
        (
            Figure("Kafka stands still", "small.*.stood_still.kafka", "s", "less"),
            Figure("Kafka stands still, 4 GiB more", "large.*.stood_still.kafka", "s", "less"),
            Figure("Kafka by stop, tar, start", "by_hand.*.kafka", "s", "less"),
            Figure("InfluxDB stands still", "small.*.stood_still.influxdb", "s", "less"),
            Figure(
                "InfluxDB stands still, 4 GiB more", "large.*.stood_still.influxdb", "s", "less"
            ),
            Figure("InfluxDB by stop, tar, start", "by_hand.*.influxdb", "s", "less"),
            Figure("a backup of 8 GiB", "large.*.seconds", "s", "less"),
            Figure("a restore of 8 GiB", "restore_s", "s", "less"),
        ),
    ),
)
