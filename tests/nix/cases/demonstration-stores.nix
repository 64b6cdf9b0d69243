# The demonstration plant: Kafka, InfluxDB and Grafana. See demonstration.nix.
let
  inherit (import ../../../lib { }) lab;
  inherit (lab.hosts) db;
  file = host: path: host.files.${path}.value;
  first = builtins.head;
  kafka = file db "/etc/apache-kafka/server.properties";
  ini = file db "/etc/grafana/grafana.ini";
  datasource = first (file db "/etc/grafana/provisioning/datasources/fieldline.yaml").datasources;
  dashboard = file db "/etc/grafana/dashboards/sensors.json";
  completeness = file db "/etc/grafana/dashboards/completeness.json";
in
{

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
      listeners = [
        "PLAINTEXT://192.168.0.10:9092"
        "CONTROLLER://127.0.0.1:9093"
      ];
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
    expected = [
      1
      1
      1
      1
    ];
  };
  "kafka's heap is an eighth of 4096 MiB" = {
    actual = builtins.match ".*-Xmx512m .*" db.units.apache-kafka.environment.KAFKA_OPTS != null;
    expected = true;
  };
  "topics" = {
    actual = lab.topics;
    # 7 d in ms.
    expected = {
      opc = {
        partitions = 4;
        retention_ms = 604800000;
      };
      model = {
        partitions = 4;
        retention_ms = 604800000;
      };
      "opc.dead-letter" = {
        partitions = 1;
        retention_ms = 604800000;
      };
      "model.changelog" = {
        partitions = 4;
        cleanup_policy = "compact";
      };
      "opc.ledger" = {
        partitions = 1;
        retention_ms = 604800000;
      };
      "opc.refill" = {
        partitions = 1;
        retention_ms = 604800000;
      };
    };
  };
  "influxdb" = {
    actual = {
      inherit (lab.influxdb)
        url
        organization
        bucket
        user
        retention_ms
        host
        ;
    };
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
    actual = {
      inherit (datasource) uid type url;
      inherit (datasource.jsonData) version organization defaultBucket;
    };
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
      variables = [
        "asset"
        "variable"
      ];
      repeats = [
        "variable"
        null
      ];
      uids = [
        "fieldline-influxdb"
        "fieldline-influxdb"
      ];
    };
  };
  "dashboard of the ledger" = {
    actual = {
      inherit (completeness) title uid;
      variables = map (variable: variable.name) completeness.templating.list;
      types = map (panel: panel.type) completeness.panels;
      uids = map (panel: panel.datasource.uid) completeness.panels;
    };
    expected = {
      title = "Completeness";
      uid = "fieldline-completeness";
      variables = [ "asset" ];
      types = [
        "timeseries"
        "timeseries"
        "timeseries"
        "table"
      ];
      uids = [
        "fieldline-influxdb"
        "fieldline-influxdb"
        "fieldline-influxdb"
        "fieldline-influxdb"
      ];
    };
  };
  # grafana: packages/grafana-data/src/valueFormats/categories.ts
  "units of variables" = {
    actual = builtins.listToAttrs (
      map (o: {
        name = o.matcher.options;
        inherit (first o.properties) value;
      }) (first dashboard.panels).fieldConfig.overrides
    );
    expected = {
      Temperature = "celsius";
      Pressure = "pressurebar";
      SlowSensor = "percent";
    };
  };
}
