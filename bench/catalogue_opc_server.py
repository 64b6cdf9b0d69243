"""The benchmarks of the OPC UA server: what they measure and which of their figures lead."""

from __future__ import annotations

from figures import Bench, Figure

_OPC_SERVERS = {
    "opc_server": "ours",
    "open62541": "open62541",
    "node_opcua": "node-opcua",
    "asyncua": "plain asyncua",
}

OPC_SERVER = (
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
