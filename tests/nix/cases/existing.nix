# sites/existing.toml: two collectors, existing servers with and without encryption, a small Pi.
let
  inherit (import ../../../lib { site = ../sites/existing.toml; }) lab;
  inherit (lab.hosts)
    east
    west
    line
    store
    ;
  telegraf = host: host.files."/etc/telegraf/telegraf.toml".value;
  listeners = host: (telegraf host).inputs.opcua_listener;
  named = host: alias: builtins.head (builtins.filter (l: l.alias == alias) (listeners host));
  nodes = listener: builtins.concatMap (group: group.nodes) listener.group;
  firstNode = listener: builtins.head (nodes listener);
  credentials = host: host.units.telegraf.credentials;
  lastSix = list: builtins.genList (n: builtins.elemAt list (builtins.length list - 6 + n)) 6;
  sources =
    host: port: (builtins.head (builtins.filter (rule: rule.port == port) host.firewall)).sources;
in
{
  "each collector has its own servers" = {
    actual = builtins.mapAttrs (_: host: map (l: l.alias) (listeners host)) { inherit east west; };
    expected = {
      east = [
        "line"
        "scale-1"
        "scale-2"
      ];
      west = [
        "oven"
        "press-1"
        "press-2"
        "press-3"
      ];
    };
  };
  # Encrypted: 500 nodes of 600 presses × 2 variables; else a PLC's usual 1,000 of one call.
  "listeners are split" = {
    actual = map (l: builtins.length (nodes l)) (listeners east ++ listeners west);
    expected = [
      80
      1000
      200
      2
      500
      500
      200
    ];
  };

  # plugins/inputs/opcua_listener/sample.conf
  "an encrypted server" = {
    actual = {
      inherit (named west "press-2")
        endpoint
        security_policy
        security_mode
        certificate
        private_key
        auth_method
        username
        password
        ;
    };
    expected = {
      endpoint = "opc.tcp://press.plant:4840/server";
      security_policy = "Basic256Sha256";
      security_mode = "SignAndEncrypt";
      certificate = "/run/credentials/telegraf.service/opcua-client-certificate";
      private_key = "/run/credentials/telegraf.service/opcua-client-key";
      auth_method = "UserName";
      username = "reader";
      password = "@{credentials:opcua_press_password}";
    };
  };
  # plugins/common/opcua/client.go, Validate: the newer policies have no name there.
  "a policy that telegraf cannot name" = {
    actual = { inherit (named west "oven") security_policy security_mode auth_method; };
    expected = {
      security_policy = "auto";
      security_mode = "Sign";
      auth_method = "Anonymous";
    };
  };
  "an open server" = {
    actual = {
      inherit (named east "scale-1")
        security_policy
        security_mode
        certificate
        private_key
        password
        ;
    };
    expected = {
      security_policy = "None";
      security_mode = "None";
      certificate = "";
      private_key = "";
      password = "@{credentials:opcua_scale_password}";
    };
  };
  "credentials" = {
    actual = {
      east = credentials east;
      west = credentials west;
    };
    expected = {
      east.opcua_scale_password = "/run/secrets/opcua-scale-password";
      west = {
        opcua-client-certificate = "/run/secrets/opcua-client-certificate";
        opcua-client-key = "/run/secrets/opcua-client-key";
        opcua_press_password = "/run/secrets/opcua-press-password";
      };
    };
  };
  # The same secrets for the gap filler, under its own name.
  "the gap filler's credentials" = {
    actual = {
      given = west.units.gap-filler.credentials;
      arguments = lastSix west.units.gap-filler.command.arguments;
      east = east.units.gap-filler.credentials;
    };
    expected = {
      given = {
        opcua-client-certificate = "/run/secrets/opcua-client-certificate";
        opcua-client-key = "/run/secrets/opcua-client-key";
        opcua-press-password = "/run/secrets/opcua-press-password";
      };
      arguments = [
        "--certificate"
        "/run/credentials/gap-filler.service/opcua-client-certificate"
        "--key"
        "/run/credentials/gap-filler.service/opcua-client-key"
        "--password-file"
        "press=/run/credentials/gap-filler.service/opcua-press-password"
      ];
      east.opcua-scale-password = "/run/secrets/opcua-scale-password";
    };
  };
  "secrets" = {
    actual = {
      west = west.secrets;
      east = east.secrets;
    };
    expected = {
      west = [
        "console-password-hash"
        "opcua-client-certificate"
        "opcua-client-key"
        "opcua-press-password"
      ];
      east = [
        "console-password-hash"
        "opcua-scale-password"
      ];
    };
  };

  "node ids" = {
    actual = map (node: {
      inherit (node)
        name
        namespace
        identifier_type
        identifier
        ;
    }) ([ (firstNode (named west "press-1")) ] ++ nodes (named west "oven"));
    expected = [
      {
        name = "Speed";
        namespace = "4";
        identifier_type = "s";
        identifier = "Press;press001.Speed";
      }
      {
        name = "Humidity";
        namespace = "5";
        identifier_type = "g";
        identifier = "09087e75-8e5e-499b-954f-f2a9603db28a";
      }
      {
        name = "Temperature";
        namespace = "3";
        identifier_type = "i";
        identifier = "1001";
      }
    ];
  };
  # A PLC samples at the declared period and is asked for 10 s of values.
  "a PLC's sampling" = {
    actual = (firstNode (named west "press-1")).monitoring_params;
    expected = {
      sampling_interval = "10ms";
      queue_size = 1000;
      discard_oldest = true;
    };
  };
  # 40 machines × 101 values/s: a quarter of 512 MiB at 1 KiB a value is 131,072 values, 32 s.
  "a small Pi's queues" = {
    actual =
      map (node: node.monitoring_params.queue_size)
        (builtins.head (named east "line").group).nodes;
    expected = [
      3200
      32
    ];
  };

  # 10 s for each of 4 listeners whose server is away, and 15 s for the rest: plugins/inputs/
  # opcua_listener/opcua_listener.go, Stop.
  "telegraf is given the time to flush" = {
    actual = west.units.telegraf.serviceConfig.TimeoutStopSec;
    expected = "55s";
  };

  "only its collector reaches a server" = {
    actual = sources line 4840;
    expected = [ "172.16.8.21" ];
  };
  "kafka's clients" = {
    actual = builtins.sort builtins.lessThan (sources store 9092);
    expected = [
      "172.16.8.21"
      "172.16.8.22"
      "172.16.8.30"
      "172.16.8.31"
    ];
  };
  # Temperature is K in one type and °C in the other: no unit is right for both.
  "units in conflict are left out" = {
    actual =
      map (o: o.matcher.options)
        (builtins.head lab.dashboards.sensors.panels).fieldConfig.overrides;
    expected = [
      "Humidity"
      "Speed"
    ];
  };
  "a unit that grafana does not know" = {
    actual =
      (builtins.head (builtins.head (builtins.head lab.dashboards.sensors.panels).fieldConfig.overrides)
      .properties).value;
    expected = "suffix:g/m³";
  };
  "a model's unit" = {
    actual = (builtins.elemAt lab.dashboards.sensors.panels 1).fieldConfig.overrides;
    expected = [
      {
        matcher = {
          id = "byName";
          options = "load";
        };
        properties = [
          {
            id = "unit";
            value = "percent";
          }
        ];
      }
    ];
  };
  # An eighth of 1024 MiB would be 128; Kafka wants 256.
  "kafka's least heap" = {
    actual = builtins.match ".*-Xmx256m .*" store.units.apache-kafka.environment.KAFKA_OPTS != null;
    expected = true;
  };
  # Telegraf resolves a namespace URI before it has connected: InitNodeIDs in
  # plugins/common/opcua/input/input_client.go. One such server would stop a whole collector.
  "a namespace URI is refused" = {
    actual =
      (builtins.tryEval (
        builtins.deepSeq (import ../../../lib { site = ../sites/namespace-uri.toml; }).lab.hosts.west true
      )).success;
    expected = false;
  };
  "and only for the collector concerned" = {
    actual =
      (builtins.tryEval (
        builtins.deepSeq (import ../../../lib { site = ../sites/namespace-uri.toml; }).lab.hosts.east true
      )).success;
    expected = true;
  };
}
