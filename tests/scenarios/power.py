start_all()
wait_for_plant()
db.succeed("fieldline wait --fresh-within 60s")
since = db.succeed("date +%s%N").strip()

for count in ["once", "and once more"]:
    with subtest(f"nothing is lost when the database host's power goes, {count}"):
        # Values are under way in all of its services.
        db.succeed("fieldline wait --fresh-within 10s")
        db.crash()
        db.start()
        wait_for_plant()
        db.succeed("fieldline wait --fresh-within 60s")
        print(db.succeed(f"fieldline verify --since {since}"))

with subtest("each host's power may go at any moment, and values flow again"):
    for machine in [collector, opc]:
        machine.crash()
        machine.start()
        wait_for_plant()
        db.succeed("fieldline wait --fresh-within 60s")
