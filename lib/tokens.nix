# Where InfluxDB's tokens come from: the one place that decides it. InfluxDB 2 makes them itself, so
# influxdb-provision writes them to its state, and the units that need one load it from there.
rec {
  directory = "/var/lib/influxdb-provision";
  file = role: "${directory}/influxdb-${role}-token";
  # `wants`, not `requires`: on a host that collects too, a failed provisioning must not stop the
  # collection for good. Until the token's file is there the unit fails on its credential and is
  # restarted a second later, which heals by itself.
  unit = "influxdb-provision.service";
}
