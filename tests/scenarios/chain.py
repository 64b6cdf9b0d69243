start_all()
wait_for_plant()

with subtest("every variable and both models arrive in InfluxDB"):
    db.succeed("fieldline wait --fresh-within 60s")

with subtest("what is stored is what was produced, and each result that of its inputs"):
    print(db.succeed("fieldline verify --for 20s"))

with subtest("provisioning once more changes nothing and stops nothing"):
    db.succeed("systemctl restart kafka-provision.service influxdb-provision.service")
    wait_for_plant()
    db.succeed("fieldline wait --fresh-within 10s")
    db.succeed("fieldline verify")

with subtest("a value that is not stored is noticed, and filled"):
    since = db.succeed("date +%s%N").strip()
    db.succeed("fieldline wait --fresh-within 10s")
    # Without the gap filler, or the hole may be gone before it is seen.
    collector.succeed("systemctl stop gap-filler.service telegraf.service")
    # Two seconds that nobody collects: no event to wait for, time itself is the fault.
    opc.succeed("sleep 2")
    collector.succeed("systemctl start telegraf.service")
    db.succeed("fieldline wait --fresh-within 20s")
    db.fail(f"fieldline verify --since {since}")
    collector.succeed("systemctl start gap-filler.service")
    db.wait_until_succeeds(f"fieldline verify --since {since}", timeout=180)
