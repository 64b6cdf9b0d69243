"""The common errors of Telegraf, Kafka and InfluxDB in plain words, with what to do.

A row is a pattern of the message as `read_message` gives it, the words, and the remedy; groups of
the pattern may stand in both. The first row that matches holds. What no row knows is given as it
is: a raw message is better than none. Texts of Telegraf 1.37.2, Kafka 4.1.0 and InfluxDB 2.7.12, as
seen when they were broken on purpose.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_DISK = "Free space on that disk (`fieldline doctor` there tells how much it needs), or enlarge it."
_OPC = "See the OPC UA server's host, and the network between."
_KAFKA = "See `systemctl status apache-kafka` on Kafka's host, and the network between."
_INFLUXDB = "See `systemctl status influxdb2` on its host."
_TOKEN = "Restart influxdb-provision on the database host, then telegraf: it makes the token anew."
_ACCESS = "Compare username and password (`fieldline secrets set`) with the server's own list."
_TRUST = "Have the server trust the certificate opcua-client-certificate of the collector."
_MEMORY = "Give the host more memory (hosts.NAME.memory in site.toml), or collect less."

_ENDPOINT = r"(?P<url>opc\.tcp://[^\s\"]+?)(?:\.? |\"|$)"

_TABLE: tuple[tuple[str, str, str], ...] = (
    (r"no space left on device", "its disk is full", _DISK),
    (r"all log dirs in \S+ have failed", "Kafka cannot write to its disk: full, or broken", _DISK),
    (
        r"Error while appending records to (?P<topic>\S+)",
        "Kafka cannot write {topic} to its disk",
        _DISK,
    ),
    (
        rf"OPC UA server {_ENDPOINT}.*connection refused",
        "nothing listens at {url}",
        "Start the OPC UA server there (`systemctl status opc-server`, or the PLC's own).",
    ),
    (
        rf"OPC UA server {_ENDPOINT}.*(no route to host|i/o timeout|deadline exceeded)",
        "{url} does not answer",
        _OPC,
    ),
    (
        r"BadUserAccessDenied|BadIdentityTokenRejected|BadIdentityTokenInvalid",
        "the OPC UA server refuses the user",
        _ACCESS,
    ),
    (
        r"BadSecurityChecksFailed|BadCertificate\w*",
        "the OPC UA server does not trust this client's certificate",
        _TRUST,
    ),
    (
        r"BadTooManySessions|BadTooManySubscriptions|BadTooManyMonitoredItems",
        "the OPC UA server has no room for another client",
        "End other clients of it, or raise its limits.",
    ),
    (
        r"BadNodeIdUnknown",
        "the OPC UA server does not know a declared node id",
        "Compare the node ids of site.toml with the server's.",
    ),
    (rf"OPC UA server {_ENDPOINT}", "the OPC UA server {url} takes no connection", _OPC),
    (
        r"\"outputs\.kafka\"\] did not complete within its flush interval",
        "Kafka does not take values in time",
        _KAFKA,
    ),
    (
        r"\"outputs\.influxdb_v2\"\] did not complete within its flush interval",
        "InfluxDB does not take values in time",
        _INFLUXDB,
    ),
    (
        r"outputs\.kafka.*not the leader",
        "Kafka has just been restarted; the values are sent again",
        "Nothing, if it does not go on.",
    ),
    (
        r"outputs\.kafka.*circuit breaker is open|Error processing append operation on partition",
        "Kafka has refused values for a moment; they are kept and sent again",
        "Nothing, if it does not go on.",
    ),
    (
        r"outputs\.kafka.*(run out of available brokers|connection refused|EOF|i/o timeout)",
        "Kafka cannot be reached",
        _KAFKA,
    ),
    (
        r"inputs\.kafka_consumer.*(EOF|connection refused|i/o timeout|no route|available brokers)",
        "Kafka cannot be reached",
        _KAFKA,
    ),
    (
        r"401 Unauthorized|unauthorized access",
        "InfluxDB does not accept the writer's token",
        _TOKEN,
    ),
    (
        r"404 Not Found.*bucket",
        "InfluxDB has not the declared bucket",
        "Restart influxdb-provision on the database host.",
    ),
    (
        r"field type conflict",
        "InfluxDB refuses values of another type than it has stored",
        "Give the variable another name in site.toml: a stored type cannot change.",
    ),
    (
        r"outputs\.influxdb_v2.*(deadline exceeded|Client\.Timeout|: EOF|reset by peer)",
        "InfluxDB breaks off or answers too late",
        _INFLUXDB,
    ),
    (r"outputs\.influxdb_v2.*connection refused", "InfluxDB does not run", _INFLUXDB),
    (
        r"Metric buffer overflow; (?P<count>\d+) metrics have been dropped",
        "its buffer was full: {count} values were dropped",
        "Repair what does not take them; a longer collection.outage in site.toml holds more.",
    ),
    (
        r"Failed fetch messages|Unable connect to node|Unable to (update|request) metadata",
        "Kafka cannot be reached",
        _KAFKA,
    ),
    (r"OutOfMemoryError|oom-kill|Out of memory", "it has run out of memory", _MEMORY),
    (
        r"Watchdog timeout|result 'watchdog'",
        "it hung, and systemd restarted it",
        "Read its log before that: `journalctl -u UNIT`.",
    ),
    (
        r"[Aa]ddress already in use",
        "another program listens on its port",
        "End that program, or declare another port in site.toml.",
    ),
)
_ROWS = tuple((re.compile(pattern), words, remedy) for pattern, words, remedy in _TABLE)

# What tells nothing of a fault: notices at each start, and what follows of itself from a restart.
_NOISE = re.compile(
    r"Strict environment variable handling|as already connected|Marking the coordinator dead|"
    r"session id is not valid|Attempting to close NetworkClient|Performing controller activation|"
    r"apiKey=CONTROLLER_REGISTRATION|Execution of FlushBatch failed|"
    r"Heartbeat send request failed|Error sending HeartbeatRequest|Group Coordinator Request failed"
)
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Plain:
    """An error in plain words; `what_to_do` is empty where the message is not known."""

    text: str
    what_to_do: str = ""


def plain(message: str) -> Plain:
    """A message in plain words; as it is, shortened, where no row knows it."""
    for pattern, words, remedy in _ROWS:
        if match := pattern.search(message):
            found = match.groupdict()
            return Plain(words.format(**found), remedy.format(**found))
    short = message if len(message) <= _LONGEST else message[: _LONGEST - 3] + "..."
    return Plain(short)


def is_noise(message: str) -> bool:
    """Whether a message of a higher level tells nothing of a fault."""
    return _NOISE.search(message) is not None
