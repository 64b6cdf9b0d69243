"""What a backup copies is where lib/ has each server's data, and whose tokens it holds."""

from pathlib import Path

from fieldline.backup.parts import INFLUXDB, KAFKA, PARTS, STATE
from fieldline.evaluate import evaluate

ROOT = Path(__file__).resolve().parents[2]


def test_folders_are_those_of_the_units() -> None:
    units = evaluate(ROOT / "lib", ROOT / "site.toml")["hosts"]["db"]["units"]
    for part in PARTS:
        of_part = [units[name.removesuffix(".service")] for name in (part.unit, part.provision)]
        folders = set()
        for unit in of_part:
            config = unit["serviceConfig"]
            # systemd.exec(5): the state of a dynamic user is below `private`.
            where = "private/" if config.get("DynamicUser") else ""
            if "StateDirectory" in config:
                folders.add(where + config["StateDirectory"])
        assert set(part.folders) == folders, part.name


def test_kafkas_data_are_in_its_folder() -> None:
    db = evaluate(ROOT / "lib", ROOT / "site.toml")["hosts"]["db"]
    logs = db["files"]["/etc/apache-kafka/server.properties"]["value"]["log.dirs"]
    assert logs == [str(STATE / KAFKA.folders[0] / "log")]
    arguments = db["units"]["influxdb2"]["command"]["arguments"]
    assert all(
        argument.startswith(("--", f"{STATE / INFLUXDB.folders[0]}/")) for argument in arguments
    )
