"""Harm done on purpose to what a well plant has stored: the check of the faults has to find it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

from aiokafka import AIOKafkaProducer
from fieldline.arguments import iso
from fieldline.influx.layout import GOOD_QUALITY
from fieldline.messages import ModelResult, encode_result
from fieldline.messages.telegraf import partition_of
from fieldline_faults.cell import Outcome, Window
from fieldline_faults.evidence import Watch
from fieldline_faults.namespaces import inside
from fieldline_faults.plant import Plant
from traces import wait_for

UNCERTAIN = "The value is uncertain. StatusUncertain (0x40000000)"
# Enough for each kind of harm to have points of its own.
TICKS = 10
Counts = dict[str, int]
# An asset, whose partition it goes to, and what is sent.
Record = tuple[str, bytes]


class Harm:
    """A window of a well plant, whose places can be written to and checked."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._host = plant.host("influxdb")
        self._declared = plant.site.influxdb
        with Watch(plant) as self._watch:
            self._window = Window(plant)
            least = TICKS * len(plant.catalogue.variables)
            wait_for("some values", lambda: len(self._window.published()[0]) >= least)
            self._until = int(plant.witness.newest().max()) + 1
            wait_for("all of them", lambda: not any(map(len, self._window.missing(self._until))))
        self.values, self.results = self._window.published(self._until)

    def check(self) -> Outcome:
        """The check of the whole window."""
        return self._window.check(self._until, self._watch)

    def forget_the_log(self) -> None:
        """Look at Kafka's log from its end on only."""
        self._window.begin = self._plant.topics(lambda topics: topics.ends())

    # -- points, by number of their series ---------------------------------------------------------

    def value(self, series: int) -> tuple[dict[str, str], str, float, int]:
        """A value's tags, variable, value and time: the first of its series."""
        found = self.values.where(self.values.series == series)
        variable = self._plant.catalogue.variables[series]
        tags = {"asset": variable.asset, "id": variable.id}
        return tags, variable.variable, float(found.value[0]), int(found.time[0])

    def result(self, series: int) -> ModelResult:
        """A result: the second of its series, since the first may still change; revision 0."""
        found = self.results.where(self.results.series == series)
        model = self._plant.catalogue.models[series]
        return ModelResult(model.name, float(found.value[1]), int(found.time[1]), model.asset, 0)

    # -- writing -----------------------------------------------------------------------------------

    def write(self, measurement: str, tags: Mapping[str, str], fields: str, time_ns: int) -> None:
        """Write one point into InfluxDB as its administrator."""
        named = "".join(
            f",{key}={value.replace('=', chr(92) + '=')}" for key, value in tags.items()
        )
        line = f"{measurement}{named} {fields} {time_ns}"
        self._ask("/api/v2/write", {"precision": "ns"}, line.encode())

    def delete(self, measurement: str, tags: Mapping[str, str], time_ns: int) -> None:
        """Delete the points of one instant."""
        # In quotes, since some names (`name`) are words of the language.
        predicate = " AND ".join(
            f'"{k}"="{v}"' for k, v in {"_measurement": measurement, **tags}.items()
        )
        span = {"start": iso(time_ns), "stop": iso(time_ns)}
        self._ask("/api/v2/delete", {}, span | {"predicate": predicate})

    def _ask(self, path: str, query: dict[str, str], body: object) -> None:
        argv = ["cat", "/run/secrets/influxdb-admin-token"]
        token = self._host.exec(argv, check=True).stdout.strip()
        where = {"org": self._declared.organization, "bucket": self._declared.bucket}
        client = self._plant.database.client.with_token(token)
        client.json("POST", path, query=where | query, body=body, what="harm what it has")

    def send(self, topic: str, *records: Record) -> None:
        """Put records into a topic, each behind what its asset has there."""
        host = self._plant.host("kafka")
        bootstrap = f"{host.address}:{self._plant.site.kafka.port}"
        count = self._plant.site.topics[topic].partitions

        async def send() -> None:
            async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
                for asset, record in records:
                    number = partition_of(asset.encode(), count)
                    await producer.send_and_wait(topic, record, partition=number)

        inside(host.namespace, lambda: asyncio.run(send()))


def harm_influxdb(harm: Harm) -> dict[str, Counts]:
    """Each kind of harm once to values and results; what has to be found."""
    tags, _variable, _value, time = harm.value(0)
    harm.delete("opc_server", tags, time)
    tags, variable, value, time = harm.value(3)
    harm.write("opc_server", tags | {"host": "another"}, f"{variable}={value!r}", time)
    tags, variable, value, time = harm.value(6)
    harm.write("opc_server", tags, f'{variable}={value!r},Quality="{GOOD_QUALITY}"', time + 1)
    tags, variable, value, time = harm.value(9)
    harm.write("opc_server", tags, f"{variable}={value + 1e-9!r}", time)
    tags, _variable, _value, time = harm.value(12)
    harm.write("opc_server", tags, f'Quality="{UNCERTAIN}"', time)
    tags, _variable, _value, time = harm.value(15)
    harm.write("opc_server", tags, "Torque=1.0", time)

    result = harm.result(0)
    harm.delete("model", _tags(result), result.timestamp)
    result = harm.result(2)
    harm.write("model", _tags(result), f"value={result.value * (1 + 1e-9)!r}", result.timestamp)
    result = harm.result(4)
    harm.write("model", _tags(result), "revision=77i", result.timestamp)
    result = harm.result(6)
    fields = f"value={result.value!r},revision=0i"
    harm.write("model", _tags(result) | {"host": "another"}, fields, result.timestamp)
    result = harm.result(8)
    harm.write("model", _tags(result), f"value={result.value!r},revision=0i", result.timestamp + 1)
    each = {"lost": 1, "wrong": 1, "wrong_status": 1, "doubled": 1}
    return {"values": {**each, "invented": 2}, "results": {**each, "invented": 1}}


def harm_model(harm: Harm) -> Counts:
    """Each kind of harm once to the topic `model`; what has to be found."""
    again, fallen, wrong, shifted = (harm.result(series) for series in (10, 12, 14, 16))
    records = [
        _revised(again, 70),
        _revised(again, 70),
        _revised(fallen, 72),
        _revised(fallen, 71),
        _revised(wrong, 70, value=wrong.value + 1.0),
        _revised(shifted, 0, timestamp=shifted.timestamp + 1),
        ("", b"no result"),
    ]
    harm.send("model", *records)
    return {"wrong": 1, "doubled": 1, "disordered": 1, "invented": 2}


def harm_opc(harm: Harm) -> Counts:
    """Each kind of harm once to the topic `opc`, and a repeat, which is none."""
    tags, variable, value, time = harm.value(18)
    same = _record(tags, variable, value, time)
    tags, variable, value, time = harm.value(21)
    wrong = _record(tags, variable, value + 1.0, time)
    tags, variable, value, time = harm.value(24)
    uncertain = _record(tags, variable, value, time, UNCERTAIN)
    tags, variable, value, time = harm.value(27)
    shifted = _record(tags, variable, value, time + 1)
    harm.send("opc", same, wrong, uncertain, shifted, ("", b"no value"))
    # All three of the repeated identities are repeats, whatever they say.
    return {"wrong": 1, "wrong_status": 1, "invented": 2, "repeats": 3}


def _tags(result: ModelResult) -> dict[str, str]:
    return {"name": result.name, "asset": result.asset}


def _revised(
    result: ModelResult, revision: int, value: float | None = None, timestamp: int | None = None
) -> Record:
    revised = ModelResult(
        result.name,
        result.value if value is None else value,
        timestamp or result.timestamp,
        result.asset,
        revision,
    )
    return result.asset, encode_result(revised)


def _record(
    tags: dict[str, str], variable: str, value: float, time: int, quality: str = GOOD_QUALITY
) -> Record:
    fields = {variable: value, "Quality": quality}
    whole = {"name": "opc_server", "tags": tags, "fields": fields, "timestamp": time}
    return tags["asset"], json.dumps(whole).encode()
