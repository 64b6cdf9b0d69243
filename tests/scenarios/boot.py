# The orders in which each host is first, in the middle and last once.
for order in [[opc, collector, db], [collector, db, opc], [db, opc, collector]]:
    with subtest("values flow, whichever host comes first"):
        for machine in order:
            machine.start()
            # Not multi-user.target: it waits for services, and those for hosts that are still off.
            machine.wait_for_unit("nftables.service")
        wait_for_plant()
        db.succeed("fieldline wait --fresh-within 60s")
        for machine in order:
            machine.shutdown()

with subtest("values flow after a crash of each host"):
    start_all()
    wait_for_plant()
    for machine, _ in PLANT:
        machine.crash()
        machine.start()
        wait_for_plant()
        db.succeed("fieldline wait --fresh-within 60s")
