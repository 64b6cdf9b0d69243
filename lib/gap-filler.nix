# The gap filler of a collector.
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
  restarter = import ./restarter.nix;
  client = import ./opcua-client.nix { inherit plant host; };

  here = has "collector" host;
  name = "gap-filler";
  # The subscriptions are dead, and the server has newer values.
  restart = {
    unit = "telegraf";
    by = name;
  };
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
          (restarter.file restart)
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
        # 4 million source times are 31 MiB, Python with its libraries 90, and a batch is under way.
        MemoryMax = "256M";
        # Live values first, where the host is busy.
        CPUWeight = 50;
      }
      // restarter.serviceConfig name;
      credentials = client.credentials client.password;
    };
  };

  restarts = optionals here [ restart ];

  firewall = optionals here [
    {
      port = metrics.gap-filler;
      sources = plant.allAddresses;
      purpose = "metrics and state of gap-filler";
    }
  ];
}
