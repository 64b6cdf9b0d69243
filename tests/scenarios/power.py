start_all()
wait_for_plant()
db.succeed("fieldline wait --fresh-within 60s")
since = db.succeed("date +%s%N").strip()

with subtest("nothing is lost when the database host's power goes while values are under way"):
    db.succeed("fieldline wait --fresh-within 10s")
    db.crash()
    db.start()
    wait_for_plant()
    db.succeed("fieldline wait --fresh-within 60s")
    print(db.succeed(f"fieldline verify --since {since}"))
