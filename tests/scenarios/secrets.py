start_all()
wait_for_plant()
db.succeed("fieldline wait --fresh-within 60s")

with subtest("each secret is readable to its service alone, and plain nowhere"):
    for machine, _ in PLANT:
        print(machine.succeed("fieldline secrets audit"))

# The audit must be able to fail, and never tells a value.
PASSWORD = "/run/secrets/influxdb-admin-password"
value = db.succeed(f"cat {PASSWORD}").strip()

with subtest("values that lie open, and a secret's own file that others may read, are found"):
    db.succeed(f"install -m 0444 {PASSWORD} /var/tmp/leak", f"install -m 0400 {PASSWORD} /etc/leak")
    db.succeed("chmod 0404 /run/secrets/influxdb-admin-token")
    told = db.fail("fieldline secrets audit")
    assert "influxdb-admin-password: /var/tmp/leak: readable to every user" in told, told
    assert "influxdb-admin-password: /etc/leak: a plain value" in told, told
    assert "influxdb-admin-token: /run/secrets/influxdb-admin-token: mode 0404" in told, told
    assert "3 found" in told, told
    assert value not in told
    db.succeed("chmod 0400 /run/secrets/influxdb-admin-token", "rm /var/tmp/leak /etc/leak")

with subtest("a new password reaches the service that signs in with it"):
    CHECK = (
        "--check --admin-token-file /run/secrets/influxdb-admin-token --token-directory /var/lib"
    )
    db.succeed(f"fieldline provision influxdb {CHECK} --admin-password-file {PASSWORD}")
    db.succeed(f"install -m 0400 {PASSWORD} /run/old-password")
    db.succeed(f"od -An -vN32 -tx1 /dev/urandom | tr -d ' \\n' > {PASSWORD}")
    assert db.succeed(f"cat {PASSWORD}").strip() != value
    # Nobody has told InfluxDB yet.
    db.fail(f"fieldline provision influxdb {CHECK} --admin-password-file {PASSWORD}")
    db.succeed("systemctl restart influxdb-provision.service")
    db.succeed(f"fieldline provision influxdb {CHECK} --admin-password-file {PASSWORD}")
    db.fail(f"fieldline provision influxdb {CHECK} --admin-password-file /run/old-password")
    db.succeed("rm /run/old-password", "fieldline secrets audit")

with subtest("all flows on with the new password"):
    wait_for_plant()
    db.succeed("fieldline wait --fresh-within 20s")
    db.succeed("fieldline verify")
