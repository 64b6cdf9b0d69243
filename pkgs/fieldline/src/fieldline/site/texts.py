"""The texts of a site: names, units, addresses, nodes, files, each with its pattern."""

from __future__ import annotations

import keyword
import re
from typing import Annotated

from fieldline.site.address import parse_address
from fieldline.site.forms import Address, Text, Whole
from fieldline.site.names import NAME, NamesForm

# A host's name becomes a Python name in test scripts.
NOT_A_HOST = ("localhost", *(word for word in keyword.kwlist if word.islower()))

# Users that a host has anyway: nobody logs in as a service, or as root under another key.
NOT_AN_ADMIN = (
    *("apache-kafka", "grafana", "influxdb2", "telegraf"),
    *("messagebus", "nobody", "root", "sshd"),
)

PLACEHOLDER = r"\{asset\}|\{variable\}"


def _endpoint(text: str) -> bool:
    match = re.fullmatch(r"opc\.tcp://(?:\[([^\]]*)\]|[^:/\[]+)(?::([0-9]+))?(?:/.*)?", text)
    if match is None:
        return False
    inside, port = match.groups()
    address = parse_address(inside) if inside is not None else None
    return (inside is None or (address is not None and address.version == 6)) and (
        port is None or 1 <= int(port) <= 65535
    )


def _node(text: str) -> bool:
    rest = text
    if text.startswith("ns="):
        namespace, _, rest = text.partition(";")
        if int(namespace[3:]) > 65535:
            return False
    if rest.startswith("i="):
        return int(rest[2:]) <= 4294967295
    return len(rest) <= len("s=") + 200


def _no_parent(text: str) -> bool:
    return ".." not in text


_SHORT = "[a-z](?:[a-z0-9-]{0,30}[a-z0-9])?"
_GUID = "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_NODE_TEXT = r"(?:\{asset\}|\{variable\}|[!#%-[\]-_a-z|~])+"

HostName = Annotated[
    str, Text(_SHORT, 'a host name such as "db", and no word of Python', refused=NOT_A_HOST)
]
ServerName = Annotated[str, Text(_SHORT, 'a name such as "press-2": small letters, digits, "-"')]
AdminName = Annotated[
    str,
    Text(
        _SHORT,
        'a name such as "anna": small letters, digits, "-", and no user that a host has anyway',
        refused=NOT_AN_ADMIN,
    ),
]
Name = Annotated[str, Text(NAME, 'a name such as "Pump_1": letters, digits, "_" and "-"')]
VariableName = Annotated[
    str,
    Text(
        NAME,
        'a name such as "Pressure", and none of Quality, time, DataType',
        refused=("Quality", "time", "DataType"),
    ),
]
TopicName = Annotated[
    str,
    Text(
        "[a-z][a-z0-9.-]{0,99}",
        'a name such as "opc", not ending in ".dead-letter", ".changelog", ".ledger" or ".refill"',
        also=lambda text: not text.endswith((".dead-letter", ".changelog", ".ledger", ".refill")),
    ),
]
Unit = Annotated[
    str,
    Text(
        "[^\\x00-\\x1f\\x7f\"\\\\$`{}',=]*",
        'a unit such as "°C": at most 24 bytes, without quotes, braces, commas',
        at_most=24,
    ),
]
AddressText = Annotated[str, Address()]
TimeServer = Annotated[
    str, Address(Text("[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?", "a host name", at_most=253))
]
PublicKey = Annotated[
    str,
    Text(
        "(?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp256|sk-ssh-ed25519@openssh\\.com)"
        " [A-Za-z0-9+/=]{16,}(?: [^\\x00-\\x1f\\x7f]*)?",
        'a public key such as "ssh-ed25519 AAAA... anna"',
        at_most=4096,
    ),
]
Endpoint = Annotated[
    str,
    Text(
        r"opc\.tcp://(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]{2,39}\])"
        r"(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]*)?",
        'an endpoint such as "opc.tcp://192.168.0.20:4840/path"',
        also=_endpoint,
    ),
]
Node = Annotated[
    str,
    Text(
        f"(?:ns=[0-9]{{1,5}};)?(?:i=[0-9]{{1,10}}|s={_NODE_TEXT}|g={_GUID})",
        'a node such as "i=2", "ns=3;s={asset}.{variable}" or "g=" and a GUID',
        also=_node,
    ),
]
File = Annotated[
    str,
    Text(
        rf"(?:{PLACEHOLDER}|[A-Za-z0-9._-])(?:{PLACEHOLDER}|[A-Za-z0-9._/-])*\.(?:csv|parquet)",
        'a file beside site.toml such as "recordings/{asset}.csv" (.csv or .parquet)',
        also=_no_parent,
    ),
]
Column = Annotated[
    str,
    Text(
        rf"(?:[A-Za-z]|{PLACEHOLDER})(?:[A-Za-z0-9_-]|{PLACEHOLDER})*",
        'a column such as "{variable}"',
        at_most=64,
    ),
]
DevicePath = Annotated[
    str,
    Text(
        rf"/(?:{PLACEHOLDER}|[A-Za-z0-9._:*?@+/-])+",
        'an absolute path such as "/sys/bus/w1/devices/28-*/temperature"',
        also=_no_parent,
    ),
]
AssetNames = Annotated[str, NamesForm()]
Port = Annotated[int, Whole(1, 65535)]
