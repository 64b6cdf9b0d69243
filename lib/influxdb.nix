# InfluxDB 2: its unit and configuration. It listens on loopback only (see plant.nix).
{ plant, host }:
let
  inherit (plant) site util;
  inherit (util) min optionalAttrs overlay;
  units = import ./units.nix;

  here = plant.has "influxdb" host;
  directory = "/var/lib/influxdb2";
  configuration = "/etc/influxdb2/config.json";

  mebibyte = 1024 * 1024;

  settings = {
    http-bind-address = "127.0.0.1:${toString site.influxdb.port}";
    # A plant's database calls nobody.
    reporting-disabled = true;
    log-level = "info";
    # Unless told so it keeps a stack for each 4 KiB that it allocates, for a profile that nobody asks
    # for: half of the time of a large query, a sixth of all. (pprof/pprof.go of InfluxDB 2.7.)
    pprof-disabled = true;
    # Flux may not reach private addresses or files through a query.
    hardening-enabled = true;
    # A log in user of the web page is asked again after a working day, in minutes.
    session-length = 480;
    # What was written and is not in files yet; beyond it writes are refused, and Kafka keeps them. Its
    # default is 1 GiB, on any host.
    storage-cache-max-memory-size = min 1024 (host.memory / 8) * mebibyte;
    # From here on it is put into a file, during which a core is busy. 10,000 variables at 1 Hz fill the
    # default of 25 MiB in 30 s, and then wait for a second and more; a third of it is not noticed.
    storage-cache-snapshot-memory-size = 8 * mebibyte;
  };
in
{
  # Whose disk the ledger looks at.
  inherit directory;

  files = optionalAttrs here {
    ${configuration} = {
      format = "json";
      value = overlay settings (host.settings.influxdb2 or { });
    };
  };

  units = optionalAttrs here {
    influxdb2 = units.foreign "influxdb2" {
      description = "InfluxDB, the store of values and results";
      environment = {
        INFLUXD_CONFIG_PATH = configuration;
        # Go's collector works harder from here on, rather than to let the heap double. The other half is
        # Kafka's, Telegraf's, and the page cache that both databases read from.
        GOMEMLIMIT = "${toString (host.memory / 2)}MiB";
      };
      command = {
        program = "influxd";
        # The paths are arguments as in nixpkgs' module, which refuses them in the configuration.
        arguments = [
          "--bolt-path"
          "${directory}/influxd.bolt"
          "--engine-path"
          "${directory}/engine"
        ];
      };
      # What it writes after a torn end of its log would be cut off at the start after the next.
      preStart = [
        {
          program = "fieldline";
          arguments = [
            "ready"
            "wal"
            "--path"
            "${directory}/engine/wal"
          ];
        }
      ];
      postStart = [
        {
          program = "fieldline";
          arguments = [
            "ready"
            "influxdb"
            "--url"
            plant.influxdbUrl
          ];
        }
      ];
      serviceConfig = {
        # Waiting for it is the start: files that are recovered after a power cut take minutes.
        TimeoutStartSec = "infinity";
        StateDirectory = "influxdb2";
        StateDirectoryMode = "0700";
        # It snapshots its cache when it stops.
        TimeoutStopSec = "60s";
      };
    };
  };

  users = optionalAttrs here { influxdb2 = { }; };
  firewall = [ ];
}
