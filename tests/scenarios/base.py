# The private half of tests/scenarios/admin.pub. Whoever runs a scenario declares that key for an
# admin named scenario; nobody else may, for it is no secret.
KEY = """\
-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACCXFYM5NbO2YNWIXHnbLjNeiClzh1T8aQ2xiPvdOKPQQAAAAJDQyyDn0Msg
5wAAAAtzc2gtZWQyNTUxOQAAACCXFYM5NbO2YNWIXHnbLjNeiClzh1T8aQ2xiPvdOKPQQA
AAAEAD8KQrixIxLA8RspKYZedyX1exmw6e3WNo7QimEweGf5cVgzk1s7Zg1YhcedsuM16I
KXOHVPxpDbGI+904o9BAAAAACHNjZW5hcmlvAQIDBAU=
-----END OPENSSH PRIVATE KEY-----
"""
OPC, COLLECTOR, DB = "192.168.0.5", "192.168.0.7", "192.168.0.10"
OPTIONS = "-o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"

start_all()
wait_for_plant()

with subtest("each host answers by ssh, and the services whom they are for"):
    for machine, others in [(opc, [COLLECTOR, DB]), (collector, [OPC, DB]), (db, [OPC, COLLECTOR])]:
        for address in others:
            machine.wait_for_open_port(22, addr=address)
    collector.wait_for_open_port(4840, addr=OPC)
    collector.wait_for_open_port(9092, addr=DB)

with subtest("nothing else is reached, though it listens"):
    # Kafka's controller and InfluxDB are for their own host alone, OPC UA is for who collects it.
    for port in [8086, 9093]:
        db.wait_for_open_port(port)
        with expected_to_fail(f"reaching port {port} of db"):
            collector.wait_for_open_port(port, addr=DB, timeout=2)
    with expected_to_fail("reaching the OPC UA server from db"):
        db.wait_for_open_port(4840, addr=OPC, timeout=2)
    with expected_to_fail("reaching Kafka from opc"):
        opc.wait_for_open_port(9092, addr=DB, timeout=2)

collector.succeed("mkdir -p /root/keys", "install -m 600 /dev/null /root/keys/admin")
collector.succeed(f"echo '{KEY}' > /root/keys/admin")
collector.succeed("ssh-keygen -q -t ed25519 -N '' -f /root/keys/unknown")

with subtest("an admin's key opens a session, and root without a password"):
    who = collector.succeed(f"ssh {OPTIONS} -i /root/keys/admin scenario@{DB} whoami")
    assert who.strip() == "scenario", who
    who = collector.succeed(f"ssh {OPTIONS} -i /root/keys/admin scenario@{DB} sudo -n whoami")
    assert who.strip() == "root", who
    collector.succeed(
        f"ssh {OPTIONS} -i /root/keys/admin scenario@{OPC} sudo -n fieldline guard status"
    )

with subtest("an admin alone may not ask the guard"):
    collector.fail(f"ssh {OPTIONS} -i /root/keys/admin scenario@{DB} fieldline guard status")

with subtest("neither root, nor an unknown key, nor anything but a key is taken"):
    refused = "Permission denied (publickey)"
    for host in [OPC, DB]:
        said = collector.fail(f"ssh {OPTIONS} -i /root/keys/admin root@{host} true 2>&1")
        assert refused in said, said
        said = collector.fail(f"ssh {OPTIONS} -i /root/keys/unknown scenario@{host} true 2>&1")
        assert refused in said, said
        # The list in brackets is the host's own: no password, no keyboard-interactive.
        said = collector.fail(f"ssh {OPTIONS} -o PubkeyAuthentication=no scenario@{host} true 2>&1")
        assert refused in said, said
