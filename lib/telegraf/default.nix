# Telegraf on a host: the collector (OPC UA → Kafka), the writer (Kafka → InfluxDB), or both in one
# process. Telegraf gives every metric to every output, so each input marks its metrics with the tag
# `route` and each output takes one route only, and drops the tag.
{ plant, host }:
let
  inherit (builtins) toString;
  inherit (plant) has metrics util;
  inherit (util)
    min
    optionalAttrs
    optionals
    overlay
    ;
  units = import ../units.nix;
  tokens = import ../tokens.nix;

  isCollector = has "collector" host;
  isWriter = has "writer" host;
  here = isCollector || isWriter;

  store = "credentials";
  collector = import ./collector.nix { inherit plant host store; };
  writer = import ./writer.nix { inherit plant host store; };
  parts = optionals isCollector [ collector ] ++ optionals isWriter [ writer ];
  credentials = builtins.foldl' (all: part: all // part.credentials) { } parts;

  agent = {
    # Gather is also where a listener looks whether it is still connected; it must come before the
    # OPC UA library's own attempt (5 s), see collector.nix.
    interval = "1s";
    round_interval = false;
    # After a reconnection a listener's metrics pass through the rounding of polled ones, to whole
    # seconds unless told otherwise: source times are to the nanosecond.
    precision = "1ns";
    omit_hostname = true;
    # Newer releases change its default and warn until it is set; there are neither.
    skip_processors_after_aggregators = true;
    # Each output that carries values has its own.
    flush_interval = "1s";
    metric_batch_size = 1000;
    metric_buffer_limit = 10000;
  };

  # Telegraf about itself, for Prometheus; its own metrics go nowhere else.
  internal = {
    inputs.internal = [
      {
        # The exporter is read every 15 s or so.
        interval = "5s";
        # Which of the listeners, not only that one of them.
        per_instance = true;
        tags.route = "internal";
      }
    ];
    outputs.prometheus_client = [
      {
        listen = plant.endpoint host.address metrics.telegraf;
        metric_version = 2;
        string_as_label = false;
        tagpass.route = [ "internal" ];
        tagexclude = [ "route" ];
      }
    ];
  };

  # The store asks systemd's version over the system bus, so it is there only where a secret is.
  secretstores = optionalAttrs (builtins.any (part: part.usesStore) parts) {
    # Telegraf strips "telegraf." from names by default; ours have no prefix.
    secretstores.systemd = [
      {
        id = store;
        prefix = "";
      }
    ];
  };

  # Plugins of one kind from several parts, one after the other.
  plugins =
    kind:
    builtins.zipAttrsWith (_: builtins.concatLists) (
      map (part: part.${kind}) ([ internal ] ++ map (part: part.settings) parts)
    );
  settings = {
    inherit agent;
    inputs = plugins "inputs";
    outputs = plugins "outputs";
  }
  // secretstores;

  listeners = builtins.length (settings.inputs.opcua_listener or [ ]);

  # A full buffer at 1 KiB a metric, twice for the garbage collector, and the process itself; at most
  # three quarters of the host. It also bounds a leak of Telegraf 1.37: each failed attempt to reach a
  # server leaves a blocked goroutine of 3 KiB, 11 MiB in an hour for each listener.
  bufferMib = (if isCollector then plant.site.collectors.${host.name}.buffer else 0) / 512;
  memoryMib = min (host.memory * 3 / 4) (384 + bufferMib);

  # Every client retries, so an order only spares failed attempts. A collector waits for nothing that may
  # take long (a database that recovers): values would be lost meanwhile.
  afterHere =
    optionals (has "kafka" host) [ "apache-kafka.service" ]
    ++ optionals (isWriter && !isCollector) (
      [
        "influxdb2.service"
        tokens.unit
      ]
      ++ optionals (has "kafka" host) [ "kafka-provision.service" ]
    );
in
{
  files = optionalAttrs here {
    "/etc/telegraf/telegraf.toml" = {
      format = "toml";
      value = overlay settings (host.settings.telegraf or { });
    };
  };

  units = optionalAttrs here {
    telegraf = units.foreign "telegraf" {
      description = builtins.concatStringsSep " and " (
        optionals isCollector [ "Telegraf from OPC UA to Kafka" ]
        ++ optionals isWriter [ "Telegraf from Kafka to InfluxDB" ]
      );
      after = afterHere;
      wants = optionals isWriter [ tokens.unit ];
      preStart = builtins.concatMap (part: part.preStart or [ ]) parts;
      environment = {
        # Go collects garbage harder before the kernel would kill; up to there half as often as by
        # default, which spares a tenth of its time where 10,000 values/s pass.
        GOMEMLIMIT = "${toString (memoryMib * 9 / 10)}MiB";
        GOGC = "200";
      };
      command = {
        program = "telegraf";
        arguments = [
          "--config"
          "/etc/telegraf/telegraf.toml"
        ];
      };
      serviceConfig = {
        Type = "notify";
        NotifyAccess = "main";
        MemoryMax = "${toString memoryMib}M";
        # Telegraf stops its inputs one by one and waits 10 s for each listener whose server is away;
        # only then does it flush what it holds. More than a minute and a half is a hang.
        TimeoutStopSec = "${toString (min 90 (15 + 10 * listeners))}s";
        # While Kafka is away each flush that is not done in time is a line, ten a second. A hundred in
        # half a minute tell as much, and leave the journal to the others.
        LogRateLimitIntervalSec = "30s";
        LogRateLimitBurst = 100;
        # Secrets are held in memory that is never swapped: three pages each.
        LimitMEMLOCK = "8M";
      };
      inherit credentials;
    };
  };

  users = optionalAttrs here { telegraf = { }; };

  firewall = optionals here [
    {
      port = metrics.telegraf;
      sources = plant.allAddresses;
      purpose = "metrics of telegraf";
    }
  ];
}
