"""How long `fieldline where` takes on 10,000 variables, while all is well and while none flows.

    python bench/where_scale.py [--assets 1000] [--seconds 30]

Prints one JSON object. A real InfluxDB with ten days in which each variable and model has some
points, and the last seconds at full rate; a real Kafka with the last seconds of `opc`. The other
hosts are addresses of the loopback where nothing listens: each is refused at once. Time is that of
the whole command, Python's start and the second in which it measures rates included.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "pkgs" / "fieldline" / "tests"))

from aiokafka import AIOKafkaProducer  # noqa: E402
from fieldline.influx import InfluxClient  # noqa: E402
from fieldline.influx.layout import GOOD_QUALITY  # noqa: E402
from fieldline.provision.influxdb import Secrets, ensure_influxdb  # noqa: E402
from fieldline.provision.kafka_admin import KafkaAdmin, connect  # noqa: E402
from fieldline.provision.topics import declared_topics, ensure_topics  # noqa: E402
from fieldline.site import Site, load_site  # noqa: E402
from fieldline.verify.catalogue import Catalogue, catalogue_of  # noqa: E402
from servers.conftest import loopback_site, start_influxdb, start_kafka  # noqa: E402
from stream_cluster import machine  # noqa: E402

DAYS, SECOND = 10, 10**9
VARIABLES = 10


def large_site(folder: Path, assets: int, influxdb: int, kafka: int) -> Site:
    """The demonstration plant with so many assets of ten variables, each with a value a second."""
    path = loopback_site(folder, influxdb=influxdb, kafka=kafka).path
    text = path.read_text().replace(
        'names = ["Sensors"]', f'names = ["press{{0001..{assets:04d}}}"]'
    )
    nodes = 'nodes = { Temperature = "i=2", Pressure = "i=3", SlowSensor = "i=4" }\n'
    more = "".join(
        f"[asset_types.sensors.variables.V{number}]\n"
        'period = "1s"\nsource = { kind = "random-walk", step = 1 }\n\n'
        for number in range(VARIABLES - 3)
    )
    mark = "[asset_types.sensors.models.model1]"
    text = text.replace(nodes, "").replace(mark, more + mark).replace('"200ms"', '"1s"')
    path.write_text(text.replace("memory = 2048", "memory = 65536"))
    return load_site(path)


def points(catalogue: Catalogue, at: int) -> bytes:
    """A point of each variable and each model, as line protocol."""
    lines = [
        f"opc_server,asset={v.asset},id={v.id.replace('=', chr(92) + '=')} "
        f'{v.variable}=1.5,Quality="{GOOD_QUALITY}" {at}'
        for v in catalogue.variables
    ]
    lines += [
        f"model,asset={m.asset},name={m.name} value=1.5,revision=0i {at}" for m in catalogue.models
    ]
    return "\n".join(lines).encode()


def write(client: InfluxClient, catalogue: Catalogue, at: int) -> None:
    """Write them."""
    query = {"org": "devorg", "bucket": "dev"}
    status, data = client.request("POST", "/api/v2/write", query=query, body=points(catalogue, at))
    if status != 204:
        sys.exit(f"InfluxDB refused the points: {data!r}")


async def fill(bootstrap: str, site: Site, catalogue: Catalogue, now: int, seconds: int) -> None:
    """The topics, with the last seconds of `opc`."""
    admin = await connect(bootstrap, 30, lambda _passed, _cause: None)
    try:
        await ensure_topics(KafkaAdmin(admin), declared_topics(site))
    finally:
        await admin.close()
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, compression_type="gzip", linger_ms=100, max_batch_size=1 << 18
    )
    await producer.start()
    try:
        for second in range(seconds):
            at = now - (seconds - second) * SECOND
            for v in catalogue.variables:
                record = {
                    "fields": {v.variable: 1.5, "Quality": GOOD_QUALITY},
                    "name": "opc_server",
                    "tags": {"asset": v.asset, "id": v.id},
                    "timestamp": at,
                }
                await producer.send("opc", json.dumps(record).encode(), key=v.asset.encode())
        await producer.flush()
    finally:
        await producer.stop()


def where(site: Site, token: Path) -> dict[str, Any]:
    """One run of the command."""
    argv = [sys.executable, "-m", "fieldline.cli", "where", "--json", "--site", str(site.path)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.monotonic()
    done = subprocess.run(
        [*argv, "--token-file", str(token)], capture_output=True, check=True, text=True
    )
    seconds = time.monotonic() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = json.loads(done.stdout)["diagnosis"]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "seconds": round(seconds, 2),
        "cpu_s": round(cpu, 2),
        "resident_mib": round(after.ru_maxrss / 1024),
        "declared": found["declared"],
        "arriving": found["arriving"],
        "groups": [[g["hop"], g["code"], g["variables"], g["models"]] for g in found["stopped"]],
        "unseen": found["unseen"],
    }


def main(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Fill the servers, then ask."""
    influxdb, kafka = start_influxdb(folder / "influxdb"), start_kafka(folder / "kafka")
    try:
        site = large_site(folder, options.assets, influxdb.port, kafka.port)
        catalogue = catalogue_of(site)
        tokens = folder / "tokens"
        secrets = Secrets("a-password", "operator-token-of-the-test")
        ensure_influxdb(influxdb.url, site.influxdb, secrets, tokens)
        writer = InfluxClient(influxdb.url, (tokens / "influxdb-writer-token").read_text())
        reader = tokens / "influxdb-reader-token"
        now = time.time_ns()
        for day in range(1, DAYS + 1):
            for second in range(6):
                write(writer, catalogue, now - day * 86_400 * SECOND - second * SECOND)
        for second in range(options.seconds):
            write(writer, catalogue, now - (options.seconds - second) * SECOND)
        asyncio.run(fill(kafka.bootstrap, site, catalogue, now, options.seconds))
        rounds = []
        for _ in range(options.rounds):
            write(writer, catalogue, time.time_ns())
            rounds.append(where(site, reader))
        # The slowest of them has 8 s, so that it is stale after 24.
        time.sleep(26)
        stopped = [where(site, reader) for _ in range(options.rounds)]
        return {
            "machine": machine(),
            "variables": len(catalogue.variables),
            "models": len(catalogue.models),
            "well": rounds,
            "stopped": stopped,
        }
    finally:
        influxdb.process.stop()
        kafka.process.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(main(asked, Path(scratch)), indent=1))
