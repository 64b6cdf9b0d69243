start_all()
wait_for_plant()
db.succeed("fieldline wait --fresh-within 60s")

for machine, units in PLANT:
    for unit in units:
        with subtest(f"values flow again after a restart of {unit}"):
            machine.succeed(f"systemctl restart {unit}.service")
            print(db.succeed("fieldline wait --fresh-within 10s"))
            wait_for_plant()
