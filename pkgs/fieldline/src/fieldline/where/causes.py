"""The causes that a diagnosis tells apart, in plain words, each with what to do.

docs/operate.md lists them by code; a test holds the two together.
"""

from __future__ import annotations

from fieldline.where.diagnosis import Cause

# Code → words, remedy. Both may name fields in braces, which whoever finds the cause fills in.
CAUSES: dict[str, tuple[str, str]] = {
    "no-link": (
        "the network cable of this host, {host}, has no link",
        "Plug it in; see cable, switch and `network.device` in site.toml.",
    ),
    "cut-off": (
        "no other host answers {host}: it is cut off from the network, or all of them are off",
        "See cable and switch of {host}, then the other hosts.",
    ),
    "host-silent": (
        "the host {host} does not answer: it is off, or the network to it is cut",
        "See its power, its cable and the switch; then `journalctl -b -1 -n 50` on it.",
    ),
    "not-reached": (
        "{what} on {host} does not answer, though the host is up",
        "See the firewall of {host} (`nft list ruleset`) and the network between.",
    ),
    "not-running": (
        "{what} does not run: {host} is up, but nothing listens there",
        "On {host}: `systemctl status {unit}`; `fieldline where` there tells more.",
    ),
    "stopped": (
        "{what} was stopped on {host}",
        "On {host}: `systemctl start {unit}`.",
    ),
    "failing": (
        "{what} on {host} {words}{reason}",
        "Do what its last words say; `journalctl -u {unit}` has all of them.",
    ),
    "refused-to-run": (
        "{what} on {host} {words}: its configuration or its stored state is not usable{reason}",
        (
            "Do what its last words say, then `systemctl start {unit}`; for a state that does not"
            " fit docs/recovery.md has the steps."
        ),
    ),
    "hangs": (
        "{what} on {host} takes connections, but does not answer",
        "On {host}: look at load, memory and disk; then `systemctl restart {unit}`.",
    ),
    "odd": (
        "{what} on {host} {problem}",
        "See whether the port is the site's, and whether both hosts have one site.toml.",
    ),
    "server-unreachable": (
        "the collector cannot reach the OPC UA server {server}: {problem}",
        "See the server's power, its network, and endpoint and security in site.toml.",
    ),
    "not-connected": (
        (
            "{collector} cannot reach the server {server} ({problem}), though that answers here:"
            " the network between the two is cut, or the server refuses it"
        ),
        "See the network between {collector} and the server, and the server's firewall.",
    ),
    "source-stopped": (
        "the server {server} lives, but its source gives no new value",
        "See the sensor or the recording behind it; `journalctl -u opc-server` on its host.",
    ),
    "source-bad": (
        "the server {server} sends bad quality, {status}: {meaning}",
        "See the sensor or the device behind it.",
    ),
    "unknown-node": (
        "the server {server} does not know the node id, or never had a value for it",
        "Compare node ids in site.toml with the server's; deploy one site.toml to all hosts.",
    ),
    "clock-behind": (
        "the source times of {server} lie {seconds} s behind: its values arrive, dated in the past",
        "Set the clock of that server: NTP of its host (`fieldline doctor` there).",
    ),
    "clock-ahead": (
        "the source times of {server} lie {seconds} s in the future",
        (
            "Set the clock of that server: NTP of its host (`fieldline doctor` there). Models take"
            " values of the right time again when time has caught up."
        ),
    ),
    "no-session": (
        "Telegraf on {collector} has no session at the server {server}",
        "On {collector}: `journalctl -u telegraf`; can it reach {endpoint}?",
    ),
    "subscription-dead": (
        (
            "Telegraf on {collector} delivers nothing new of the server {server}{live}: its"
            " subscription is dead, or the network between the two is cut"
        ),
        "On {collector}: `systemctl restart telegraf`.",
    ),
    "kafka-not-reached": (
        (
            "Telegraf on {collector} holds {waiting} values that Kafka does not take: the network"
            " between {collector} and {broker} is cut, or Kafka refuses them"
        ),
        "On {collector}: `journalctl -u telegraf`; nothing is lost while its buffer lasts.",
    ),
    "model-waits": (
        "stream-model on {host} waits: {reason}",
        "Do what it waits for.",
    ),
    "model-failing": (
        "the model's function {model} fails: {reason}",
        "Correct the function, or what it is given; results go on by themselves.",
    ),
    "model-behind": (
        "stream-model is {lag} values behind",
        "It catches up by itself; if the lag grows, see load and `journalctl -u stream-model`.",
    ),
    "model-silent": (
        "stream-model runs and has read its inputs, but gives no result",
        "See {topic} for refused inputs and `journalctl -u stream-model`.",
    ),
    "writer-behind": (
        "the writer is {lag} records behind",
        "It catches up by itself; if the lag grows, see the load of InfluxDB's host.",
    ),
    "writer-loses": (
        "the writer has read the values, but InfluxDB has them not",
        "On {host}: `journalctl -u telegraf`; it names records that it cannot read.",
    ),
    "influxdb-refuses": (
        "InfluxDB does not take what the writer sends{reason}",
        (
            "On {host}: `journalctl -u telegraf` and `-u influxdb2`; Kafka keeps the values,"
            " and the ledger has InfluxDB restarted once its disk has room."
        ),
    ),
    "influxdb-asks": (
        "InfluxDB does not answer questions: {problem}",
        "On {host}: `systemctl status influxdb2`; as root, or with --token-file?",
    ),
    "told": ("{text}", "See `journalctl -u telegraf` and `-u gap-filler` on {collector}."),
    "records-refused": (
        "{count} records in a minute cannot be used ({reason}), such as of {series}",
        "Read them: topic {topic}, with the reason in their headers.",
    ),
    "values-dropped": (
        "Telegraf on {host} has dropped {count} values: its buffer was full",
        (
            "The gap filler brings them, where the server keeps its history; a longer"
            " `collection.outage` holds more."
        ),
    ),
    "time-uncertain": (
        "the time of the server {server} is not synchronised: its values are Uncertain",
        "See NTP on its host: `fieldline doctor` there.",
    ),
    "restarts": (
        "{what} on {host} was restarted {count} times by itself{reason}",
        "`journalctl -u {unit}` tells why.",
    ),
}


def cause(code: str, **fields: object) -> Cause:
    """The cause of a code, its fields filled in.

    Raises:
        KeyError: a field that its words name is not given.
    """
    words, remedy = CAUSES[code]
    return Cause(code, words.format(**fields), remedy.format(**fields))
