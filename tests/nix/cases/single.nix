# sites/single.toml: every role on one host, other ports than the usual ones, settings laid over.
let
  inherit (import ../../../lib { site = ../sites/single.toml; }) lab;
  host = lab.hosts.bench;
  file = path: host.files.${path}.value;
  telegraf = file "/etc/telegraf/telegraf.toml";
  first = builtins.head;
  listener = first telegraf.inputs.opcua_listener;
  kafka = file "/etc/apache-kafka/server.properties";
  route = plugin: plugin.tags.route;
  passes = plugin: plugin.tagpass.route;
in
{
  "all units" = {
    actual = builtins.attrNames host.units;
    expected = [
      "apache-kafka"
      "deploy-guard"
      "gap-filler"
      "grafana"
      "influxdb-provision"
      "influxdb2"
      "influxdb2-restart"
      "kafka-provision"
      "ledger"
      "opc-server"
      "stream-model"
      "telegraf"
      "telegraf-restart"
    ];
  };

  "one unit restarts Telegraf, whoever wants it" = {
    actual = builtins.mapAttrs (_: path: path.pathConfig.PathChanged) host.paths;
    expected = {
      influxdb2-restart = [ "/run/ledger/restart-influxdb2" ];
      telegraf-restart = [
        "/run/ledger/restart-telegraf"
        "/run/gap-filler/restart-telegraf"
      ];
    };
  };

  # Nothing is shared where there is one host.
  "secrets by file" = {
    actual = {
      inherit (lab.secrets) shared;
      hash = host.secretFiles.console-password-hash;
    };
    expected = {
      shared = [ ];
      hash = "hosts/bench.yaml";
    };
  };

  # What OPC UA brings goes to Kafka only, what Kafka brings to InfluxDB only, Telegraf's own to neither.
  "routes" = {
    actual = {
      listener = map route telegraf.inputs.opcua_listener;
      consumer = map route telegraf.inputs.kafka_consumer;
      internal = map route telegraf.inputs.internal;
      kafka = map passes telegraf.outputs.kafka;
      influxdb = map passes telegraf.outputs.influxdb_v2;
      prometheus = map passes telegraf.outputs.prometheus_client;
    };
    expected = {
      listener = [ "collector" ];
      consumer = [
        "writer"
        "writer"
        "writer"
      ];
      internal = [ "internal" ];
      kafka = [ [ "collector" ] ];
      influxdb = [ [ "writer" ] ];
      prometheus = [ [ "internal" ] ];
    };
  };
  # With --ignore-formatted at each start, and no file that could keep it from being run.
  "a second disk of kafka's is formatted when it comes" = {
    actual = builtins.elemAt host.units.apache-kafka.preStart 1;
    expected = {
      program = "kafka-storage";
      arguments = [
        "format"
        "--cluster-id"
        lab.kafka.cluster_id
        "--config"
        "/etc/apache-kafka/server.properties"
        "--ignore-formatted"
      ];
    };
  };
  "the route never leaves telegraf" = {
    actual = map (name: (first telegraf.outputs.${name}).tagexclude) [
      "kafka"
      "influxdb_v2"
      "prometheus_client"
    ];
    expected = [
      [ "route" ]
      [ "route" ]
      [ "route" ]
    ];
  };

  "declared ports" = {
    actual = {
      inherit (listener) endpoint;
      inherit (first telegraf.outputs.kafka) brokers;
      inherit (kafka) listeners;
      influxdb = (file "/etc/influxdb2/config.json").http-bind-address;
      grafana = (file "/etc/grafana/grafana.ini").server.http_port;
      telegraf = (first telegraf.outputs.prometheus_client).listen;
    };
    expected = {
      endpoint = "opc.tcp://10.20.3.4:4841";
      brokers = [ "10.20.3.4:19092" ];
      listeners = [
        "PLAINTEXT://10.20.3.4:19092"
        "CONTROLLER://127.0.0.1:19093"
      ];
      influxdb = "127.0.0.1:18086";
      grafana = 13000;
      telegraf = "10.20.3.4:19103";
    };
  };
  "declared intervals" = {
    actual = listener.subscription_interval;
    expected = "50ms";
  };
  # 3 pumps at 20 values/s for 1 min are 3,600; docs/site.md: at least 10,000.
  "buffer" = {
    actual = (first telegraf.outputs.kafka).metric_buffer_limit;
    expected = 10000;
  };
  "further topics" = {
    actual = lab.topics.events;
    expected = {
      partitions = 1;
      retention_ms = 2592000000;
    };
  };
  "the dead letters live as long as opc" = {
    actual = lab.topics."opc.dead-letter";
    expected = {
      partitions = 1;
      retention_ms = 3600000;
    };
  };
  # An eighth of the shortest retention, 1 h.
  "segments close in time for the retention" = {
    actual = kafka."log.roll.ms";
    expected = 450000;
  };
  "kafka's heap is an eighth of 8192 MiB" = {
    actual = builtins.match ".*-Xmx1024m .*" host.units.apache-kafka.environment.KAFKA_OPTS != null;
    expected = true;
  };

  # docs/site.md: `settings` is laid over what lib/ derives.
  "telegraf's setting, and its neighbours stay" = {
    actual = { inherit (telegraf.agent) debug omit_hostname; };
    expected = {
      debug = true;
      omit_hostname = true;
    };
  };
  "kafka's settings" = {
    actual = map (key: kafka.${key}) [
      "num.network.threads"
      "log.retention.ms"
      "node.id"
    ];
    expected = [
      2
      3600000
      1
    ];
  };
  "influxdb's setting" = {
    actual = (file "/etc/influxdb2/config.json").log-level;
    expected = "debug";
  };
  "grafana's setting, and its section stays" = {
    actual = { inherit ((file "/etc/grafana/grafana.ini").server) domain protocol; };
    expected = {
      domain = "bench.example";
      protocol = "http";
    };
  };

  # A collector must not wait at boot for a database that recovers: values would be lost meanwhile.
  "telegraf's order" = {
    actual = host.units.telegraf.after;
    expected = [
      "network-online.target"
      "nftables.service"
      "apache-kafka.service"
    ];
  };
}
