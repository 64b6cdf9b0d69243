# The demonstration plant (site.toml): three hosts. What is expected is written by hand, from the
# documentation named at each place, never copied from an output.
let
  inherit (import ../../../lib { }) lab;
  inherit (lab.hosts) opc collector db;
  file = host: path: host.files.${path}.value;
  telegraf = host: file host "/etc/telegraf/telegraf.toml";
  rules = host: map (rule: { inherit (rule) port sources; }) host.firewall;
  arguments = host: unit: host.units.${unit}.command.arguments;
  service = host: unit: host.units.${unit}.serviceConfig;
in
{
  # docs/site.md: roles; design.md: services.
  "units by host" = {
    actual = builtins.mapAttrs (_: host: builtins.attrNames host.units) lab.hosts;
    expected = {
      opc = [
        "deploy-guard"
        "opc-server"
      ];
      collector = [
        "deploy-guard"
        "gap-filler"
        "stream-model"
        "telegraf"
        "telegraf-restart"
      ];
      db = [
        "apache-kafka"
        "deploy-guard"
        "grafana"
        "influxdb-provision"
        "influxdb2"
        "influxdb2-restart"
        "kafka-provision"
        "ledger"
        "telegraf"
        "telegraf-restart"
      ];
    };
  };
  "static users are those of nixpkgs' modules" = {
    actual = builtins.mapAttrs (_: host: builtins.attrNames host.users) lab.hosts;
    expected = {
      opc = [ ];
      collector = [ "telegraf" ];
      db = [
        "apache-kafka"
        "grafana"
        "influxdb2"
        "telegraf"
      ];
    };
  };
  "secrets by host" = {
    actual = builtins.mapAttrs (_: host: host.secrets) lab.hosts;
    expected = {
      opc = [ "console-password-hash" ];
      collector = [ "console-password-hash" ];
      db = [
        "console-password-hash"
        "grafana-admin-password"
        "grafana-secret-key"
        "influxdb-admin-password"
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
        db = [
          "grafana-admin-password"
          "grafana-secret-key"
          "influxdb-admin-password"
          "influxdb-admin-token"
        ];
      };
      shared = [ "console-password-hash" ];
    };
  };
  "the file of each secret of a host" = {
    actual = {
      inherit (collector) secretFiles;
      token = db.secretFiles.influxdb-admin-token;
    };
    expected = {
      secretFiles = {
        console-password-hash = "shared.yaml";
      };
      token = "hosts/db.yaml";
    };
  };
  "address and prefix" = {
    actual = { inherit (db) address prefix name; };
    expected = {
      address = "192.168.0.10";
      prefix = 24;
      name = "db";
    };
  };

  # The command lines are a contract with pkgs/.
  "opc-server" = {
    actual = arguments opc "opc-server";
    expected = [
      "--site"
      "/etc/fieldline/site.toml"
      "--server"
      "opc"
      "--state"
      "/var/lib/opc-server"
      "--listen"
      "192.168.0.5:4840"
      "--metrics"
      "192.168.0.5:9101"
      "--require-time-sync"
    ];
  };
  "stream-model" = {
    actual = arguments collector "stream-model";
    expected = [
      "--site"
      "/etc/fieldline/site.toml"
      "--bootstrap-servers"
      "192.168.0.10:9092"
      "--input"
      "opc"
      "--output"
      "model"
      "--dead-letter"
      "opc.dead-letter"
      "--changelog"
      "model.changelog"
      "--group"
      "stream-model"
      "--instance"
      "collector"
      "--metrics"
      "192.168.0.7:9102"
    ];
  };
  "gap-filler" = {
    actual = arguments collector "gap-filler";
    expected = [
      "--site"
      "/etc/fieldline/site.toml"
      "--collector"
      "collector"
      "--bootstrap-servers"
      "192.168.0.10:9092"
      "--state"
      "/var/lib/gap-filler"
      "--metrics"
      "192.168.0.7:9104"
      "--restart-file"
      "/run/gap-filler/restart-telegraf"
    ];
  };
  # systemd.path(5): the service of the same name is started. The gap filler's own folder, or it could
  # not write there; it stays, since a file that vanishes counts as one that changes.
  "restart of Telegraf" = {
    actual = {
      inherit (collector.paths.telegraf-restart) pathConfig;
      pulledIn = collector.paths.telegraf-restart.wantedBy;
      inherit (collector.units.telegraf-restart) conditions command wantedBy;
      inherit (service collector "telegraf-restart") Type CapabilityBoundingSet ProtectSystem;
      user = (service collector "telegraf-restart").User or null;
      inherit (service collector "gap-filler") RuntimeDirectory RuntimeDirectoryPreserve;
      elsewhere = builtins.attrNames opc.paths;
    };
    expected = {
      pulledIn = [ "multi-user.target" ];
      pathConfig.PathChanged = [ "/run/gap-filler/restart-telegraf" ];
      conditions = [
        {
          program = "systemctl";
          arguments = [
            "--quiet"
            "is-active"
            "telegraf.service"
          ];
        }
      ];
      command = {
        program = "systemctl";
        arguments = [
          "try-restart"
          "telegraf.service"
        ];
      };
      wantedBy = [ ];
      Type = "oneshot";
      CapabilityBoundingSet = "";
      ProtectSystem = "strict";
      user = null;
      RuntimeDirectory = "gap-filler";
      RuntimeDirectoryPreserve = true;
      elsewhere = [ ];
    };
  };
  "restarts on the database host" = {
    actual = {
      paths = builtins.mapAttrs (_: path: path.pathConfig.PathChanged) db.paths;
      commands = map (unit: db.units.${unit}.command.arguments) (builtins.attrNames db.paths);
      inherit (service db "ledger") RuntimeDirectory;
    };
    expected = {
      paths = {
        influxdb2-restart = [ "/run/ledger/restart-influxdb2" ];
        telegraf-restart = [ "/run/ledger/restart-telegraf" ];
      };
      commands = [
        [
          "try-restart"
          "influxdb2.service"
        ]
        [
          "try-restart"
          "telegraf.service"
        ]
      ];
      RuntimeDirectory = "ledger";
    };
  };
  "ledger" = {
    actual = arguments db "ledger";
    expected = [
      "--site"
      "/etc/fieldline/site.toml"
      "--bootstrap-servers"
      "192.168.0.10:9092"
      "--url"
      "http://127.0.0.1:8086"
      "--token-file"
      "/run/credentials/ledger.service/influxdb-reader-token"
      "--input"
      "opc"
      "--output"
      "opc.ledger"
      "--refill"
      "opc.refill"
      "--writer-group"
      "telegraf-opc"
      "--metrics"
      "192.168.0.10:9105"
      "--influxdb-directory"
      "/var/lib/influxdb2"
      "--restart-file"
      "influxdb2=/run/ledger/restart-influxdb2"
      "--restart-file"
      "telegraf=/run/ledger/restart-telegraf"
    ];
  };
  # docs/decisions/0005: it may read, no more.
  "the ledger's credential" = {
    actual = db.units.ledger.credentials;
    expected.influxdb-reader-token = "/var/lib/influxdb-provision/influxdb-reader-token";
  };
  "kafka-provision" = {
    actual = arguments db "kafka-provision";
    expected = [
      "provision"
      "kafka"
      "--site"
      "/etc/fieldline/site.toml"
      "--bootstrap-servers"
      "192.168.0.10:9092"
    ];
  };
  "influxdb-provision" = {
    actual = arguments db "influxdb-provision";
    expected = [
      "provision"
      "influxdb"
      "--site"
      "/etc/fieldline/site.toml"
      "--url"
      "http://127.0.0.1:8086"
      "--admin-password-file"
      "/run/credentials/influxdb-provision.service/influxdb-admin-password"
      "--admin-token-file"
      "/run/credentials/influxdb-provision.service/influxdb-admin-token"
      "--token-directory"
      "/var/lib/influxdb-provision"
    ];
  };
  # nixpkgs' modules: telegraf -config, influxd --bolt-path --engine-path, kafka-storage before kafka.
  "third-party commands" = {
    actual = builtins.mapAttrs (_: unit: unit.command.program) {
      inherit (db.units)
        apache-kafka
        grafana
        influxdb2
        telegraf
        ;
    };
    expected = {
      apache-kafka = "kafka-server";
      grafana = "grafana";
      influxdb2 = "influxd";
      telegraf = "telegraf";
    };
  };
  "influxd's paths" = {
    actual = arguments db "influxdb2";
    expected = [
      "--bolt-path"
      "/var/lib/influxdb2/influxd.bolt"
      "--engine-path"
      "/var/lib/influxdb2/engine"
    ];
  };
  "a writer gives up what a killed one holds, and a collector waits for nothing" = {
    actual = {
      db = map (entry: entry.arguments) db.units.telegraf.preStart;
      collector = collector.units.telegraf.preStart;
    };
    expected = {
      db = [
        [
          "ready"
          "group"
          "--bootstrap-servers"
          "192.168.0.10:9092"
          "--client-id"
          "telegraf-db"
          "--group"
          "telegraf-opc"
          "--group"
          "telegraf-model"
          "--group"
          "telegraf-ledger"
        ]
      ];
      collector = [ ];
    };
  };
  "kafka waits for room on its disk, and its storage is formatted" = {
    actual = db.units.apache-kafka.preStart;
    expected = [
      {
        program = "fieldline";
        arguments = [
          "ready"
          "disk"
          "--path"
          "/var/lib/apache-kafka"
          "--free-mib"
          "256"
        ];
      }
      {
        program = "kafka-storage";
        arguments = [
          "format"
          "--cluster-id"
          lab.kafka.cluster_id
          "--config"
          "/etc/apache-kafka/server.properties"
        ];
        # The tool is a JVM: at a restart all wait for it, for nothing.
        unless = "/var/lib/apache-kafka/log/meta.properties";
      }
    ];
  };

  # docs/decisions/0020: InfluxDB cuts off what it writes behind a torn end.
  "influxdb begins a new file of its log" = {
    actual = map (entry: [ entry.program ] ++ entry.arguments) db.units.influxdb2.preStart;
    expected = [
      [
        "fieldline"
        "ready"
        "wal"
        "--path"
        "/var/lib/influxdb2/engine/wal"
      ]
    ];
  };

  # org.apache.kafka.common.Uuid.fromString: base64url of 16 bytes without padding, so 22 characters,
  # the last with its low four bits 0; argparse4j takes a leading "-" for an option.
  "cluster id is a Uuid" = {
    actual = builtins.match "[A-Za-z0-9_][A-Za-z0-9_-]{20}[AQgw]" lab.kafka.cluster_id != null;
    expected = true;
  };

  # Secure by default: who needs it, nobody else.
  "firewall of opc" = {
    actual = rules opc;
    expected = [
      {
        port = 22;
        sources = null;
      }
      {
        port = 4840;
        sources = [ "192.168.0.7" ];
      }
      {
        port = 9101;
        sources = [
          "192.168.0.7"
          "192.168.0.10"
          "192.168.0.5"
        ];
      }
    ];
  };
  "firewall of db" = {
    actual = builtins.listToAttrs (
      map (rule: {
        name = toString rule.port;
        value = if rule.sources == null then null else builtins.sort builtins.lessThan rule.sources;
      }) db.firewall
    );
    # 8086 and 9093 are on loopback.
    expected = {
      "22" = null;
      "3000" = null;
      "9092" = [
        "192.168.0.10"
        "192.168.0.7"
      ];
      "9103" = [
        "192.168.0.10"
        "192.168.0.5"
        "192.168.0.7"
      ];
      "9105" = [
        "192.168.0.10"
        "192.168.0.5"
        "192.168.0.7"
      ];
    };
  };

  # systemd.service(5), systemd.exec(5)
  "our services" = {
    actual = {
      inherit (service opc "opc-server")
        Type
        WatchdogSec
        Restart
        RestartPreventExitStatus
        DynamicUser
        StateDirectory
        ;
    };
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
    actual = map (unit: { inherit (service db unit) Type RemainAfterExit Restart; }) [
      "kafka-provision"
      "influxdb-provision"
    ];
    expected = [
      {
        Type = "oneshot";
        RemainAfterExit = true;
        Restart = "on-failure";
      }
      {
        Type = "oneshot";
        RemainAfterExit = true;
        Restart = "on-failure";
      }
    ];
  };
  "static users run the third parties" = {
    actual = builtins.mapAttrs (name: _: (service db name).User or null) db.units;
    expected = {
      apache-kafka = "apache-kafka";
      deploy-guard = null;
      grafana = "grafana";
      influxdb-provision = null;
      influxdb2 = "influxdb2";
      influxdb2-restart = null;
      kafka-provision = null;
      ledger = null;
      telegraf = "telegraf";
      telegraf-restart = null;
    };
  };
  "no outage ends in failed" = {
    actual = builtins.concatMap (
      host: map (unit: unit.unitConfig.StartLimitIntervalSec) (builtins.attrValues host.units)
    ) (builtins.attrValues lab.hosts);
    expected = [
      0
      0
      0
      0
      0
      0
      0
      0
      0
      0
      0
      0
      0
      0
      0
      0
      0
    ];
  };
}
