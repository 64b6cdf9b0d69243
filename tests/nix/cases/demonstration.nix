# The demonstration plant (site.toml): three hosts. What is expected is written by hand, from the
# documentation named at each place, never copied from an output.
let
  lab = (import ../../../lib { }).lab;
  inherit (lab.hosts) opc collector db;
  file = host: path: host.files.${path}.value;
  telegraf = host: file host "/etc/telegraf/telegraf.toml";
  first = builtins.head;
  listener = first (telegraf collector).inputs.opcua_listener;
  toKafka = first (telegraf collector).outputs.kafka;
  toInfluxdb = first (telegraf db).outputs.influxdb_v2;
  consumers = (telegraf db).inputs.kafka_consumer;
  consumer = name: first (builtins.filter (c: c.topics == [ name ]) consumers);
  parser = name: first (consumer name).json_v2;
  kafka = file db "/etc/apache-kafka/server.properties";
  ini = file db "/etc/grafana/grafana.ini";
  datasource = first (file db "/etc/grafana/provisioning/datasources/fieldline.yaml").datasources;
  dashboard = file db "/etc/grafana/dashboards/sensors.json";
  rules = host: map (rule: { inherit (rule) port sources; }) host.firewall;
  arguments = host: unit: host.units.${unit}.command.arguments;
  service = host: unit: host.units.${unit}.serviceConfig;
in
{
  # docs/site.md: roles; design.md: services.
  "units by host" = {
    actual = builtins.mapAttrs (_: host: builtins.attrNames host.units) lab.hosts;
    expected = {
      opc = [ "opc-server" ];
      collector = [ "stream-model" "telegraf" ];
      db = [ "apache-kafka" "grafana" "influxdb-provision" "influxdb2" "kafka-provision" "telegraf" ];
    };
  };
  "static users are those of nixpkgs' modules" = {
    actual = builtins.mapAttrs (_: host: builtins.attrNames host.users) lab.hosts;
    expected = { opc = [ ]; collector = [ "telegraf" ]; db = [ "apache-kafka" "grafana" "influxdb2" "telegraf" ]; };
  };
  "secrets by host" = {
    actual = builtins.mapAttrs (_: host: host.secrets) lab.hosts;
    expected = {
      opc = [ "console-password-hash" ];
      collector = [ "console-password-hash" ];
      db = [
        "console-password-hash" "grafana-admin-password" "grafana-secret-key" "influxdb-admin-password"
        "influxdb-admin-token"
      ];
    };
  };
  "secrets by file" = {
    actual = lab.secrets;
    expected = {
      hosts = {
        opc = [ ];
        collector = [ ];
        db = [ "grafana-admin-password" "grafana-secret-key" "influxdb-admin-password" "influxdb-admin-token" ];
      };
      shared = [ "console-password-hash" ];
    };
  };
  "the file of each secret of a host" = {
    actual = { inherit (collector) secretFiles; token = db.secretFiles.influxdb-admin-token; };
    expected = {
      secretFiles = { console-password-hash = "shared.yaml"; };
      token = "hosts/db.yaml";
    };
  };
  "address and prefix" = {
    actual = { inherit (db) address prefix name; };
    expected = { address = "192.168.0.10"; prefix = 24; name = "db"; };
  };

  # The command lines are a contract with pkgs/.
  "opc-server" = {
    actual = arguments opc "opc-server";
    expected = [
      "--site" "/etc/fieldline/site.toml" "--server" "opc" "--state" "/var/lib/opc-server"
      "--listen" "192.168.0.5:4840" "--metrics" "192.168.0.5:9101" "--require-time-sync"
    ];
  };
  "stream-model" = {
    actual = arguments collector "stream-model";
    expected = [
      "--site" "/etc/fieldline/site.toml" "--bootstrap-servers" "192.168.0.10:9092" "--input" "opc"
      "--output" "model" "--dead-letter" "opc.dead-letter"
      "--changelog" "model.changelog" "--group" "stream-model"
      "--metrics" "192.168.0.7:9102"
    ];
  };
  "kafka-provision" = {
    actual = arguments db "kafka-provision";
    expected = [
      "provision" "kafka" "--site" "/etc/fieldline/site.toml" "--bootstrap-servers" "192.168.0.10:9092"
    ];
  };
  "influxdb-provision" = {
    actual = arguments db "influxdb-provision";
    expected = [
      "provision" "influxdb" "--site" "/etc/fieldline/site.toml" "--url" "http://127.0.0.1:8086"
      "--admin-password-file" "/run/credentials/influxdb-provision.service/influxdb-admin-password"
      "--admin-token-file" "/run/credentials/influxdb-provision.service/influxdb-admin-token"
      "--token-directory" "/var/lib/influxdb-provision"
    ];
  };
  # nixpkgs' modules: telegraf -config, influxd --bolt-path --engine-path, kafka-storage before kafka.
  "third-party commands" = {
    actual = builtins.mapAttrs (_: unit: unit.command.program)
      { inherit (db.units) apache-kafka grafana influxdb2 telegraf; };
    expected = { apache-kafka = "kafka-server"; grafana = "grafana"; influxdb2 = "influxd"; telegraf = "telegraf"; };
  };
  "influxd's paths" = {
    actual = arguments db "influxdb2";
    expected = [ "--bolt-path" "/var/lib/influxdb2/influxd.bolt" "--engine-path" "/var/lib/influxdb2/engine" ];
  };
  "kafka's storage is formatted first" = {
    actual = db.units.apache-kafka.preStart;
    expected = [
      {
        program = "kafka-storage";
        arguments = [
          "format" "--cluster-id" lab.kafka.cluster_id
          "--config" "/etc/apache-kafka/server.properties" "--ignore-formatted"
        ];
      }
    ];
  };

  # org.apache.kafka.common.Uuid.fromString: base64url of 16 bytes without padding, so 22 characters,
  # the last with its low four bits 0; argparse4j takes a leading "-" for an option.
  "cluster id is a Uuid" = {
    actual = builtins.match "[A-Za-z0-9_][A-Za-z0-9_-]{20}[AQgw]" lab.kafka.cluster_id != null;
    expected = true;
  };

  # Telegraf 1.37.2, plugins/inputs/opcua_listener/sample.conf.
  "listener" = {
    actual = {
      inherit (listener)
        name endpoint timestamp subscription_interval security_policy security_mode auth_method
        connect_fail_behavior;
    };
    expected = {
      name = "opc_server";
      endpoint = "opc.tcp://192.168.0.5:4840";
      timestamp = "source";
      subscription_interval = "100ms";
      security_policy = "None";
      security_mode = "None";
      auth_method = "Anonymous";
      connect_fail_behavior = "retry";
    };
  };
  # A minute of each variable's period: 60 s / 200 ms, / 2 s, / 8 s rounded up but at least 10.
  "nodes" = {
    actual = listener.group;
    expected = [
      {
        default_tags.asset = "Sensors";
        nodes =
          let
            node = name: identifier: queue_size: {
              inherit name identifier;
              namespace = "2";
              identifier_type = "i";
              monitoring_params = { inherit queue_size; sampling_interval = "0s"; discard_oldest = true; };
            };
          in
          [ (node "Pressure" "3" 30) (node "SlowSensor" "4" 10) (node "Temperature" "2" 300) ];
      }
    ];
  };
  # OPC 10000-6, StatusCodes: Uncertain and Bad, which must come through with their value's own time.
  "qualities that pass" = {
    actual = map (code: builtins.elem code listener.workarounds.additional_valid_status_codes)
      [ "0x40000000" "0x40900000" "0x80000000" "0x808C0000" "0x00000480" ];
    expected = [ true true true true true ];
  };
  # plugins/outputs/kafka/sample.conf
  "to kafka" = {
    actual = {
      inherit (toKafka)
        brokers topic routing_tag required_acks idempotent_writes data_format json_timestamp_units
        metric_buffer_limit tagpass tagexclude version;
    };
    expected = {
      brokers = [ "192.168.0.10:9092" ];
      topic = "opc";
      routing_tag = "asset";
      required_acks = 0 - 1;
      idempotent_writes = true;
      data_format = "json";
      json_timestamp_units = "1ns";
      # 10 min of 5 + 0.5 + 0.125 values/s are 3,375, so Telegraf's default holds.
      metric_buffer_limit = 10000;
      tagpass.route = [ "collector" ];
      tagexclude = [ "route" ];
      version = "3.6.0";
    };
  };
  # docs/CONFIGURATION.md: precision applies to service inputs that gather, omit_hostname to all.
  "agent" = {
    actual = { inherit ((telegraf collector).agent) interval precision omit_hostname round_interval; };
    expected = { interval = "1s"; precision = "1ns"; omit_hostname = true; round_interval = false; };
  };
  "a collector without secrets needs no store" = {
    actual = telegraf collector ? secretstores;
    expected = false;
  };
  # plugins/inputs/kafka_consumer/sample.conf
  "consumers" = {
    actual = map (c: { inherit (c) topics consumer_group offset kafka_version brokers data_format; }) consumers;
    expected = map
      (name: {
        topics = [ name ];
        consumer_group = "telegraf-${name}";
        offset = "oldest";
        kafka_version = "3.6.0";
        brokers = [ "192.168.0.10:9092" ];
        data_format = "json_v2";
      })
      [ "opc" "model" ];
  };
  # plugins/parsers/json_v2/README.md
  "parser of opc" = {
    actual = parser "opc";
    expected = {
      measurement_name_path = "name";
      timestamp_path = "timestamp";
      timestamp_format = "unix_ns";
      tag = [ { path = "tags.asset"; } { path = "tags.id"; } ];
      object = [ { path = "fields"; disable_prepend_keys = true; } ];
    };
  };
  "parser of model" = {
    actual = parser "model";
    expected = {
      measurement_name = "model";
      timestamp_path = "timestamp";
      timestamp_format = "unix_ns";
      tag = [ { path = "name"; } { path = "asset"; } ];
      field = [ { path = "value"; type = "float"; } { path = "revision"; type = "int"; } ];
    };
  };
  "nothing is dropped between kafka and influxdb" = {
    actual = toInfluxdb.metric_buffer_limit
      >= builtins.foldl' (sum: c: sum + c.max_undelivered_messages) 0 consumers;
    expected = true;
  };
  "to influxdb" = {
    actual = { inherit (toInfluxdb) urls token organization bucket tagpass; };
    expected = {
      urls = [ "http://127.0.0.1:8086" ];
      token = "@{credentials:influxdb_writer_token}";
      organization = "devorg";
      bucket = "dev";
      tagpass.route = [ "writer" ];
    };
  };
  # plugins/secretstores/systemd/README.md: "telegraf." is the prefix unless told otherwise.
  "secret store" = {
    actual = (telegraf db).secretstores.systemd;
    expected = [ { id = "credentials"; prefix = ""; } ];
  };
  "the writer's credential" = {
    actual = db.units.telegraf.credentials;
    expected.influxdb_writer_token = "/var/lib/influxdb-provision/influxdb-writer-token";
  };

  # Kafka's documentation, "KRaft" and "Broker Configs".
  "kafka's listeners" = {
    actual = {
      inherit (kafka) listeners;
      advertised = kafka."advertised.listeners";
      voters = kafka."controller.quorum.voters";
      roles = kafka."process.roles";
      map = kafka."listener.security.protocol.map";
    };
    expected = {
      listeners = [ "PLAINTEXT://192.168.0.10:9092" "CONTROLLER://127.0.0.1:9093" ];
      advertised = "PLAINTEXT://192.168.0.10:9092";
      voters = "1@127.0.0.1:9093";
      roles = "broker,controller";
      map = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT";
    };
  };
  "kafka's topics come from the site alone" = {
    actual = kafka."auto.create.topics.enable";
    expected = false;
  };
  "single broker" = {
    actual = map (key: kafka.${key}) [
      "offsets.topic.replication.factor"
      "transaction.state.log.replication.factor"
      "transaction.state.log.min.isr"
      "min.insync.replicas"
    ];
    expected = [ 1 1 1 1 ];
  };
  "kafka's heap is an eighth of 4096 MiB" = {
    actual = builtins.match ".*-Xmx512m .*" db.units.apache-kafka.environment.KAFKA_OPTS != null;
    expected = true;
  };
  "topics" = {
    actual = lab.topics;
    # 7 d in ms.
    expected = {
      opc = { partitions = 4; retention_ms = 604800000; };
      model = { partitions = 4; retention_ms = 604800000; };
      "opc.dead-letter" = { partitions = 1; retention_ms = 604800000; };
      "model.changelog" = { partitions = 4; cleanup_policy = "compact"; };
    };
  };
  "influxdb" = {
    actual = { inherit (lab.influxdb) url organization bucket user retention_ms host; };
    expected = {
      url = "http://127.0.0.1:8086";
      organization = "devorg";
      bucket = "dev";
      user = "devuser";
      # 30 d
      retention_ms = 2592000000;
      host = "db";
    };
  };

  # Secure by default: who needs it, nobody else.
  "firewall of opc" = {
    actual = rules opc;
    expected = [
      { port = 22; sources = null; }
      { port = 4840; sources = [ "192.168.0.7" ]; }
      { port = 9101; sources = [ "192.168.0.7" "192.168.0.10" "192.168.0.5" ]; }
    ];
  };
  "firewall of db" = {
    actual = builtins.listToAttrs (map
      (rule: {
        name = toString rule.port;
        value = if rule.sources == null then null else builtins.sort builtins.lessThan rule.sources;
      })
      db.firewall);
    # 8086 and 9093 are on loopback.
    expected = {
      "22" = null;
      "3000" = null;
      "9092" = [ "192.168.0.10" "192.168.0.7" ];
      "9103" = [ "192.168.0.10" "192.168.0.5" "192.168.0.7" ];
    };
  };

  # grafana: conf/defaults.ini, and "File provider" of its configuration's documentation.
  "grafana's secrets are read from files" = {
    actual = {
      inherit (ini.security) admin_password secret_key;
      inherit (datasource.secureJsonData) token;
      anonymous = ini."auth.anonymous".enabled;
    };
    expected = {
      admin_password = "$__file{/run/credentials/grafana.service/grafana-admin-password}";
      secret_key = "$__file{/run/credentials/grafana.service/grafana-secret-key}";
      token = "$__file{/run/credentials/grafana.service/influxdb-grafana-token}";
      anonymous = false;
    };
  };
  "data source" = {
    actual = { inherit (datasource) uid type url; inherit (datasource.jsonData) version organization defaultBucket; };
    expected = {
      uid = "fieldline-influxdb";
      type = "influxdb";
      url = "http://127.0.0.1:8086";
      version = "Flux";
      organization = "devorg";
      defaultBucket = "dev";
    };
  };
  "dashboard" = {
    actual = {
      inherit (dashboard) title;
      variables = map (variable: variable.name) dashboard.templating.list;
      repeats = map (panel: panel.repeat or null) dashboard.panels;
      uids = map (panel: panel.datasource.uid) dashboard.panels;
    };
    expected = {
      title = "Sensor Dashboard";
      variables = [ "asset" "variable" ];
      repeats = [ "variable" null ];
      uids = [ "fieldline-influxdb" "fieldline-influxdb" ];
    };
  };
  # grafana: packages/grafana-data/src/valueFormats/categories.ts
  "units of variables" = {
    actual = builtins.listToAttrs (map
      (o: { name = o.matcher.options; value = (first o.properties).value; })
      (first dashboard.panels).fieldConfig.overrides);
    expected = { Temperature = "celsius"; Pressure = "pressurebar"; SlowSensor = "percent"; };
  };

  # systemd.service(5), systemd.exec(5)
  "our services" = {
    actual = { inherit (service opc "opc-server") Type WatchdogSec Restart RestartPreventExitStatus DynamicUser StateDirectory; };
    expected = {
      Type = "notify";
      WatchdogSec = "30s";
      Restart = "always";
      RestartPreventExitStatus = 78;
      DynamicUser = true;
      StateDirectory = "opc-server";
    };
  };
  "one-shots" = {
    actual = map (unit: { inherit (service db unit) Type RemainAfterExit Restart; }) [ "kafka-provision" "influxdb-provision" ];
    expected = [
      { Type = "oneshot"; RemainAfterExit = true; Restart = "on-failure"; }
      { Type = "oneshot"; RemainAfterExit = true; Restart = "on-failure"; }
    ];
  };
  "static users run the third parties" = {
    actual = builtins.mapAttrs (name: _: (service db name).User or null) db.units;
    expected = {
      apache-kafka = "apache-kafka";
      grafana = "grafana";
      influxdb-provision = null;
      influxdb2 = "influxdb2";
      kafka-provision = null;
      telegraf = "telegraf";
    };
  };
  "no outage ends in failed" = {
    actual = builtins.concatMap
      (host: map (unit: unit.unitConfig.StartLimitIntervalSec) (builtins.attrValues host.units))
      (builtins.attrValues lab.hosts);
    expected = [ 0 0 0 0 0 0 0 0 0 ];
  };
}
