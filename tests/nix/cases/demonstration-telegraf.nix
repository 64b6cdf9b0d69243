# The demonstration plant: OPC UA → Kafka → InfluxDB, as Telegraf of each host is told. See demonstration.nix.
let
  inherit (import ../../../lib { }) lab;
  inherit (lab.hosts) collector db;
  file = host: path: host.files.${path}.value;
  telegraf = host: file host "/etc/telegraf/telegraf.toml";
  first = builtins.head;
  listener = first (telegraf collector).inputs.opcua_listener;
  toKafka = first (telegraf collector).outputs.kafka;
  toInfluxdb = first (telegraf db).outputs.influxdb_v2;
  consumers = (telegraf db).inputs.kafka_consumer;
  consumer = name: first (builtins.filter (c: c.topics == [ name ]) consumers);
  parser = name: first (consumer name).json_v2;
in
{

  # Telegraf 1.37.2, plugins/inputs/opcua_listener/sample.conf.
  "listener" = {
    actual = {
      inherit (listener)
        name
        endpoint
        timestamp
        subscription_interval
        security_policy
        security_mode
        auth_method
        connect_fail_behavior
        ;
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
              monitoring_params = {
                inherit queue_size;
                sampling_interval = "0s";
                discard_oldest = true;
              };
            };
          in
          [
            (node "Pressure" "3" 30)
            (node "SlowSensor" "4" 10)
            (node "Temperature" "2" 300)
          ];
      }
    ];
  };
  # OPC 10000-6, StatusCodes: Uncertain and Bad, which must come through with their value's own time.
  "qualities that pass" = {
    actual = map (code: builtins.elem code listener.workarounds.additional_valid_status_codes) [
      "0x40000000"
      "0x40900000"
      "0x80000000"
      "0x808C0000"
      "0x00000480"
    ];
    expected = [
      true
      true
      true
      true
      true
    ];
  };
  # plugins/outputs/kafka/sample.conf
  "to kafka" = {
    actual = {
      inherit (toKafka)
        brokers
        topic
        routing_tag
        required_acks
        idempotent_writes
        data_format
        json_timestamp_units
        metric_buffer_limit
        tagpass
        tagexclude
        version
        ;
    };
    expected = {
      brokers = [ "192.168.0.10:9092" ];
      topic = "opc";
      routing_tag = "asset";
      required_acks = 0 - 1;
      idempotent_writes = false;
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
    actual = {
      inherit ((telegraf collector).agent)
        interval
        precision
        omit_hostname
        round_interval
        ;
    };
    expected = {
      interval = "1s";
      precision = "1ns";
      omit_hostname = true;
      round_interval = false;
    };
  };
  "a collector without secrets needs no store" = {
    actual = telegraf collector ? secretstores;
    expected = false;
  };
  # plugins/inputs/kafka_consumer/sample.conf
  "consumers" = {
    actual = map (c: {
      inherit (c)
        topics
        consumer_group
        offset
        kafka_version
        brokers
        data_format
        ;
    }) consumers;
    expected =
      map
        (topic: {
          topics = [ topic ];
          consumer_group = "telegraf-${if topic == "opc.ledger" then "ledger" else topic}";
          offset = "oldest";
          kafka_version = "3.6.0";
          brokers = [ "192.168.0.10:9092" ];
          data_format = "json_v2";
        })
        [
          "opc"
          "model"
          "opc.ledger"
        ];
  };
  # plugins/parsers/json_v2/README.md
  "parser of opc" = {
    actual = parser "opc";
    expected = {
      measurement_name_path = "name";
      timestamp_path = "timestamp";
      timestamp_format = "unix_ns";
      tag = [
        { path = "tags.asset"; }
        { path = "tags.id"; }
      ];
      object = [
        {
          path = "fields";
          disable_prepend_keys = true;
        }
      ];
    };
  };
  "parser of model" = {
    actual = parser "model";
    expected = {
      measurement_name = "model";
      timestamp_path = "timestamp";
      timestamp_format = "unix_ns";
      tag = [
        { path = "name"; }
        { path = "asset"; }
      ];
      field = [
        {
          path = "value";
          type = "float";
        }
        {
          path = "revision";
          type = "int";
        }
      ];
    };
  };
  # A number is a float there unless `fields` says otherwise.
  "parser of the ledger" = {
    actual = parser "opc.ledger";
    expected = {
      measurement_name = "ledger";
      timestamp_path = "timestamp";
      timestamp_format = "unix_ns";
      tag = [
        { path = "tags.asset"; }
        { path = "tags.variable"; }
      ];
      object = [
        {
          path = "fields";
          disable_prepend_keys = true;
          fields = {
            produced = "int";
            received = "int";
            missing = "int";
            filled = "int";
            late = "int";
            doubled = "int";
            stored = "int";
            settled = "int";
            lacking = "int";
          };
        }
      ];
    };
  };
  "nothing is dropped between kafka and influxdb" = {
    actual =
      toInfluxdb.metric_buffer_limit
      >= builtins.foldl' (sum: c: sum + c.max_undelivered_messages) 0 consumers;
    expected = true;
  };
  "to influxdb" = {
    actual = {
      inherit (toInfluxdb)
        urls
        token
        organization
        bucket
        tagpass
        ;
    };
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
    expected = [
      {
        id = "credentials";
        prefix = "";
      }
    ];
  };
  "the writer's credential" = {
    actual = db.units.telegraf.credentials;
    expected.influxdb_writer_token = "/var/lib/influxdb-provision/influxdb-writer-token";
  };
}
