"""The benchmarks: what each measures, how, and which of its figures lead.

A benchmark is a script here that prints one JSON object on its standard output. `run` keeps that
object, compares it with the last one kept, and writes the page.
"""

from __future__ import annotations

from catalogue_chain import CHAIN
from catalogue_opc_server import OPC_SERVER
from figures import Bench, Figure

_POLICIES = {
    "kernel": "flushed by the kernel (Kafka's default)",
    "each_second": "flushed each second",
    "each_write": "flushed at each write (ours)",
}

BENCHES = (
    *OPC_SERVER,
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
        "kafka-jvm",
        "kafka_jvm.py",
        "Kafka's start, and the stream model on it, with the JVM's own choice of collector and "
        "compilers, and with that of lib/kafka.nix for hosts up to 8 GiB, in turns; 256 MiB of "
        "heap, each write flushed. The broker has one core; its processor time is for the start, "
        "15,000 single inputs and a backlog of 200,000.",
        3,
        tuple(
            figure
            for key, words in (("defaults", "JVM's defaults"), ("small_host", "ours"))
            for figure in (
                Figure(f"start, {words}", f"{key}.*.start.s", "s", "less"),
                Figure(f"CPU of the start, {words}", f"{key}.*.start.cpu_s", "s", "less"),
                Figure(f"p50 of a result, {words}", f"{key}.*.latency.p50_ms", "ms", "less"),
                Figure(f"p99 of a result, {words}", f"{key}.*.latency.p99_ms", "ms", "less"),
                Figure(f"backlog, {words}", f"{key}.*.backlog.inputs_per_s", "inputs/s", "more"),
                Figure(f"CPU of it all, {words}", f"{key}.*.cpu_s", "s", "less"),
                Figure(f"resident, {words}", f"{key}.*.peak_mb", "MB", "less"),
            )
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
        "qualities, counted by several questions; the ledger takes the first, in parts. Then a day "
        "of the ledger of as many variables: each query of the dashboard, and what the command "
        "reads. CPU is InfluxDB's.",
        7,
        (
            Figure(
                "counting the hour, as the ledger does", "count.ours_hour.server_cpu_s", "s", "less"
            ),
            Figure(
                "the longest of its questions",
                "count.ours_hour.question_seconds.longest",
                "s",
                "less",
            ),
            Figure("the same by one question", "count.flux_quality.server_cpu_s", "s", "less"),
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
    CHAIN,
)
