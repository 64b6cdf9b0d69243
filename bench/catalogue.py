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

_OPC_SERVERS = {
    "opc_server": "ours",
    "open62541": "open62541",
    "node_opcua": "node-opcua",
    "asyncua": "plain asyncua",
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
        "opc-server-history",
        "opc_server_history.py",
        "What the record costs: a server with 200 variables at 5 Hz and one subscribed client, "
        "with the record, with a flush at each tick, and without a record, in turns. Then 1 h of "
        "300 variables at 5 Hz, 5.4 million values, read with asyncua's client, all variables in "
        "each request, while the server goes on publishing them to a subscriber. Server, client "
        "and subscriber share two cores; most of the time is the client's, which makes objects of "
        "each value.",
        8,
        (
            Figure(
                "the record's share of the server's CPU at 1,000 values/s",
                "recording.flush_10_s.share_percent",
                "%",
                "less",
                20,
            ),
            Figure(
                "the same, flushed at each tick",
                "recording.flush_each_tick.share_percent",
                "%",
                "less",
                20,
            ),
            Figure(
                "a server with the record against one without",
                "recording.flush_10_s.more_than_without_percent",
                "%",
                "less",
                20,
            ),
            Figure(
                "the server's CPU, per value published",
                "recording.flush_10_s.server_us_per_value.*",
                "µs",
                "less",
            ),
            Figure("a flush to this disk", "recording.flush_10_s.flush_ms.*", "ms", "less"),
            Figure("on disk, per value", "recording.bytes_per_value", "bytes", "less"),
            Figure("reading 1 h of 300 variables", "reading.together.seconds", "s", "less"),
            Figure(
                "the server's CPU, per value read",
                "reading.together.server_cpu_us_per_value",
                "µs",
                "less",
            ),
            Figure(
                "the client's CPU, per value read",
                "reading.together.client_cpu_us_per_value",
                "µs",
                "less",
            ),
            Figure(
                "ticks skipped meanwhile",
                "reading.together.meanwhile.ticks_skipped",
                "ticks",
                "less",
                0,
            ),
            Figure(
                "mean lateness of a tick meanwhile",
                "reading.together.meanwhile.lateness_mean_ms",
                "ms",
                "less",
            ),
            Figure(
                "resident, before and after",
                "reading.together.resident_mib_before_and_after.*",
                "MiB",
                "less",
            ),
            Figure(
                "one variable after the other",
                "reading.one_by_one.values_per_s",
                "values/s",
                "more",
            ),
            Figure(
                "counting the last minute of 300 variables",
                "reading.count.the last minute.median_ms",
                "ms",
                "less",
            ),
            Figure("counting an hour of them", "reading.count.an hour.median_ms", "ms", "less"),
        ),
    ),
    Bench(
        "stream-model-drain",
        "stream_model_drain.py",
        "Without Kafka: 300,000 inputs of three variables arriving 40:4:1, two results each. "
        "First the pure step; then with decoding, encoding and the changelog; then a recomputation "
        "that reads all of them again, since a third came late.",
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
            Figure(
                "read again, 1 asset, of a whole core",
                "recompute_1_asset.read_per_cpu_s",
                "records/s",
                "more",
            ),
            Figure(
                "read again, 1,000 assets, of a whole core",
                "recompute_1000_assets.read_per_cpu_s",
                "records/s",
                "more",
            ),
            Figure(
                "longest piece of it, 1 asset", "recompute_1_asset.longest_ms", "ms CPU", "less"
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
        "gap-filling",
        "gap_filling.py",
        "A hole of an hour of 300 variables at 5 Hz, filled while the same variables go on: our "
        "OPC UA server, the real Telegraf and Kafka on one machine, the gap filler held to 15,000 "
        "values/s. Latency is from the source time to Kafka's append, in whole ms; subscriptions "
        "publish every 100 ms, and Telegraf flushes every 100 ms.",
        9,
        (
            Figure("filling the hour", "hole.seconds", "s", "less", 600),
            Figure("filled", "hole.values_per_s", "values/s", "more", 10e3),
            Figure("p50 of live values before", "live_before.p50_ms", "ms", "less"),
            Figure("p50 of live values meanwhile", "live_during.p50_ms", "ms", "less"),
            Figure("p99 of live values before", "live_before.p99_ms", "ms", "less"),
            Figure("p99 of live values meanwhile", "live_during.p99_ms", "ms", "less"),
            Figure("processor time of the gap filler", "cpu_s.gap_filler", "s", "less"),
            Figure("processor time of the OPC UA server", "cpu_s.opc_server", "s", "less"),
            Figure("resident at most", "peak_mb", "MB", "less", 150),
        ),
    ),
    Bench(
        "stream-model-recompute",
        "stream_model_recompute.py",
        "The service on a real Kafka: the middle third of 300,000 inputs of one asset comes after "
        "all others, while new ones go on at 200/s; results of the third are given again, in "
        "transactions, beside the live ones. The service has one core, Kafka and the driver the "
        "other. A recomputation begins when nothing has come late for 3 s.",
        2,
        (
            Figure("from filled to the first result", "seconds_from_filled_to_first", "s", "less"),
            Figure("results given again", "results_given_again", "results", "more"),
            Figure("in", "seconds_from_first_to_last", "s", "less"),
            Figure("p50 of a live result before", "before.p50_ms", "ms", "less"),
            Figure("p50 of a live result meanwhile", "meanwhile.p50_ms", "ms", "less"),
            Figure("p99 of a live result before", "before.p99_ms", "ms", "less"),
            Figure("p99 of a live result meanwhile", "meanwhile.p99_ms", "ms", "less"),
            Figure("resident", "rss_mb", "MB", "less"),
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
        "where-scale",
        "where_scale.py",
        "`fieldline where` on 10,000 variables and 2,000 models, as a command: Python's start and "
        "the second in which it measures rates included. InfluxDB has ten days, some points a day; "
        "Kafka the last 30 s of `opc`. All other hosts refuse connections; one that is switched "
        "off adds up to 2 s.",
        2,
        (
            Figure("all is well", "well.*.seconds", "s", "less", 5),
            Figure("nothing flows", "stopped.*.seconds", "s", "less", 5),
            Figure("CPU of the command, all is well", "well.*.cpu_s", "s", "less"),
            Figure("resident", "stopped.*.resident_mib", "MiB", "less"),
        ),
    ),
    Bench(
        "ledger-count",
        "ledger_count.py",
        "An hour of 10,000 variables at 1 Hz in a real InfluxDB, 36 million values with their "
        "qualities, counted by several questions; the ledger takes the first. Then a day of the "
        "ledger of as many variables: each query of the dashboard, and what the command reads. "
        "CPU is InfluxDB's.",
        7,
        (
            Figure(
                "counting the hour, as the ledger does", "count.ours_hour.server_cpu_s", "s", "less"
            ),
            Figure(
                "the same by the values' own fields", "count.flux_values.server_cpu_s", "s", "less"
            ),
            Figure("the same by InfluxQL", "count.influxql_quality.server_cpu_s", "s", "less"),
            Figure(
                "its last 3 minutes alone",
                "count.flux_quality_last_3_minutes.server_cpu_s",
                "s",
                "less",
            ),
            Figure(
                "minutes of 200 variables", "count.ours_minutes_of_200.server_cpu_s", "s", "less"
            ),
            Figure(
                "panel Produced and stored", "day.Produced and stored.server_cpu_s", "s", "less"
            ),
            Figure(
                "panel Variables that lack most",
                "day.Variables that lack most.server_cpu_s",
                "s",
                "less",
            ),
            Figure("fieldline ledger, a day", "day.fieldline ledger.seconds", "s", "less"),
            Figure("records that the service takes", "book.records_per_s", "records/s", "more"),
            Figure("a day in its memory", "book.grown_mib", "MiB", "less"),
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
    Bench(
        "opc-server-peers",
        "opc_server_peers.py",
        "Our OPC UA server, open62541 (C), node-opcua (Node.js 24) and plain asyncua, which "
        "writes each value by itself, in turns, each subscribed by the same Telegraf every 100 ms "
        "with sampling interval 0. First 1,000 variables at 5 Hz and 1,000 at 1 Hz; then the "
        "highest of some rates at which Telegraf hears 98 % of what is due while the server needs "
        "at most 95 % of its core. The server has one core, Telegraf the other. Ours also records "
        "each value on disk, which no other does. Where a rate ends because Telegraf's core is "
        "full (the raw data say so), the server could give more.",
        8,
        (
            *(
                Figure(
                    f"CPU per value, {words}",
                    f"servers.{name}.mixed.*.cpu_us_per_value",
                    "µs",
                    "less",
                )
                for name, words in _OPC_SERVERS.items()
            ),
            *(
                Figure(
                    f"values/s on a core, {words}",
                    f"servers.{name}.limit.*.values_per_s",
                    "values/s",
                    "more",
                    40e3 if name == "opc_server" else None,
                )
                for name, words in _OPC_SERVERS.items()
            ),
            *(
                Figure(
                    f"the same from CPU per value, {words}",
                    f"servers.{name}.limit.*.extrapolated_values_per_s",
                    "values/s",
                    "more",
                )
                for name, words in _OPC_SERVERS.items()
            ),
            *(
                Figure(f"our CPU in {words}'s", f"our_cpu_in_theirs.{name}", "times", "less")
                for name, words in _OPC_SERVERS.items()
                if name != "opc_server"
            ),
            Figure("lost, ours", "servers.opc_server.mixed.*.lost", "values", "less", 0),
            *(
                Figure(f"lost, {words}", f"servers.{name}.mixed.*.lost", "values", "less")
                for name, words in _OPC_SERVERS.items()
                if name != "opc_server"
            ),
            *(
                Figure(f"PSS, {words}", f"servers.{name}.mixed.*.pss_mib", "MiB", "less")
                for name, words in _OPC_SERVERS.items()
            ),
        ),
    ),
)
