# The gap filler of a collector, and how it has Telegraf restarted: it runs as nobody in particular, so
# it writes a file, and a path unit of systemd starts the one-shot that may.
{ plant, host }:
let
  inherit (plant)
    endpoint
    has
    metrics
    names
    util
    ;
  inherit (util) optionalAttrs optionals;
  units = import ./units.nix;
  client = import ./opcua-client.nix { inherit plant host; };

  here = has "collector" host;
  name = "gap-filler";
  restartFile = "/run/${name}/restart-telegraf";
  credential = units.credentialPath name;
in
{
  units = optionalAttrs here {
    ${name} = units.ours {
      description = "Gap filler from the OPC UA servers' history to Kafka";
      after = optionals (has "kafka" host) [
        "apache-kafka.service"
        "kafka-provision.service"
      ];
      command = {
        program = name;
        arguments = [
          "--site"
          names.site
          "--collector"
          host.name
          "--bootstrap-servers"
          plant.bootstrap
          "--state"
          "/var/lib/${name}"
          "--metrics"
          (endpoint host.address metrics.gap-filler)
          "--restart-file"
          restartFile
        ]
        ++ optionals (client.secured != [ ]) [
          "--certificate"
          (credential client.certificate)
          "--key"
          (credential client.key)
        ]
        ++ builtins.concatMap (server: [
          "--password-file"
          "${server.name}=${credential (client.password server)}"
        ]) client.withPassword;
      };
      serviceConfig = {
        StateDirectory = name;
        StateDirectoryMode = "0700";
        RuntimeDirectory = name;
        # 4 million source times are 31 MiB, Python with its libraries 90, and a batch is under way.
        MemoryMax = "256M";
        # Live values first, where the host is busy.
        CPUWeight = 50;
      };
      credentials = client.credentials client.password;
    };

    # Root, since it starts units; it may nothing else: of hardening.nix nothing is taken back.
    telegraf-restart = units.service {
      description = "Restart of Telegraf, whose subscriptions are dead";
      network = false;
      base = units.hardening;
      wantedBy = [ ];
      # One that starts or stops at the moment is left alone.
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
      serviceConfig = {
        Type = "oneshot";
        # Longer than Telegraf may take to stop and start.
        TimeoutStartSec = "3min";
      };
    };
  };

  paths = optionalAttrs here {
    telegraf-restart = units.path {
      description = "Wish of the gap filler to have Telegraf restarted";
      pathConfig.PathChanged = restartFile;
    };
  };

  firewall = optionals here [
    {
      port = metrics.gap-filler;
      sources = plant.allAddresses;
      purpose = "metrics and state of gap-filler";
    }
  ];
}
