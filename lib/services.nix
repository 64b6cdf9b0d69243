# Our own services on a host: their command lines (the contract with pkgs/) and their units.
{ plant, host }:
let
  inherit (plant)
    endpoint
    has
    metrics
    names
    site
    util
    ;
  inherit (util) optionalAttrs optionals;
  units = import ./units.nix;
  tokens = import ./tokens.nix;
  restarter = import ./restarter.nix;

  server = plant.serverOn host;
  isOpcServer = has "opc-server" host && server != null;
  isModel = has "stream-model" host;
  isKafka = has "kafka" host;
  isInfluxdb = has "influxdb" host;
  isLedger = isInfluxdb && plant.kafkaHost != null;

  # What stands still while records wait for it. The role `writer` is InfluxDB's host's alone, so both
  # are here, or nothing is written at all.
  ledgerRestarts =
    map
      (unit: {
        inherit unit;
        by = "ledger";
      })
      (
        optionals (isLedger && has "writer" host) [
          "influxdb2"
          "telegraf"
        ]
      );

  # Started after what is on the same host only to spare it failed attempts; every client retries.
  afterKafka = optionals isKafka [
    "apache-kafka.service"
    "kafka-provision.service"
  ];

  opcServer = units.ours {
    description = "OPC UA server of the declared assets";
    command = {
      program = "opc-server";
      arguments = [
        "--site"
        names.site
        "--server"
        server.name
        "--state"
        "/var/lib/opc-server"
        "--listen"
        (endpoint host.address server.port)
        "--metrics"
        (endpoint host.address metrics.opc-server)
        # A Pi has no clock of its own: what it says before it was told the time is not to be relied on.
        "--require-time-sync"
      ];
    };
    serviceConfig = {
      StateDirectory = "opc-server";
      StateDirectoryMode = "0700";
    };
  };

  streamModel = units.ours {
    description = "Models computed from the stream of values";
    after = afterKafka;
    command = {
      program = "stream-model";
      arguments = [
        "--site"
        names.site
        "--bootstrap-servers"
        plant.bootstrap
        "--input"
        "opc"
        "--output"
        "model"
        "--dead-letter"
        names.deadLetter
        "--changelog"
        names.changelog
        "--group"
        "stream-model"
        "--instance"
        host.name
        "--metrics"
        (endpoint host.address metrics.stream-model)
      ];
    };
  };

  ledger = units.ours {
    description = "Ledger of what is stored of each hour";
    after = afterKafka ++ [
      "influxdb2.service"
      tokens.unit
    ];
    wants = [ tokens.unit ];
    command = {
      program = "ledger";
      arguments = [
        "--site"
        names.site
        "--bootstrap-servers"
        plant.bootstrap
        "--url"
        plant.influxdbUrl
        "--token-file"
        (units.credentialPath "ledger" "influxdb-reader-token")
        "--input"
        "opc"
        "--output"
        names.ledger
        "--refill"
        names.refill
        "--writer-group"
        "telegraf-opc"
        "--metrics"
        (endpoint host.address metrics.ledger)
      ]
      ++ optionals (ledgerRestarts != [ ]) [
        "--influxdb-directory"
        (import ./influxdb.nix { inherit plant host; }).directory
      ]
      ++ builtins.concatMap (restart: [
        "--restart-file"
        "${restart.unit}=${restarter.file restart}"
      ]) ledgerRestarts;
    };
    serviceConfig = restarter.serviceConfig "ledger";
    credentials.influxdb-reader-token = tokens.file "reader";
  };

  kafkaProvision = units.oneshot {
    description = "Topics of Kafka as declared";
    after = [ "apache-kafka.service" ];
    wants = [ "apache-kafka.service" ];
    command = {
      program = "fieldline";
      arguments = [
        "provision"
        "kafka"
        "--site"
        names.site
        "--bootstrap-servers"
        plant.bootstrap
      ];
    };
  };

  influxdbProvision = units.oneshot {
    description = "Organisation, bucket, user and tokens of InfluxDB as declared";
    after = [ "influxdb2.service" ];
    wants = [ "influxdb2.service" ];
    command = {
      program = "fieldline";
      arguments = [
        "provision"
        "influxdb"
        "--site"
        names.site
        "--url"
        plant.influxdbUrl
        "--admin-password-file"
        (units.credentialPath "influxdb-provision" "influxdb-admin-password")
        "--admin-token-file"
        (units.credentialPath "influxdb-provision" "influxdb-admin-token")
        "--token-directory"
        tokens.directory
      ];
    };
    serviceConfig = {
      StateDirectory = "influxdb-provision";
      # The tokens are in there; the units that need one get it by LoadCredential, which root reads.
      StateDirectoryMode = "0700";
    };
    credentials = units.secret "influxdb-admin-password" // units.secret "influxdb-admin-token";
  };
in
{
  units =
    optionalAttrs isOpcServer { opc-server = opcServer; }
    // optionalAttrs isModel { stream-model = streamModel; }
    // optionalAttrs isKafka { kafka-provision = kafkaProvision; }
    // optionalAttrs isInfluxdb { influxdb-provision = influxdbProvision; }
    // optionalAttrs isLedger { inherit ledger; };

  restarts = ledgerRestarts;

  firewall =
    optionals isOpcServer [
      {
        inherit (server) port;
        # Only who collects it: an OPC UA server answers whoever reaches it.
        sources = [ site.hosts.${server.collector}.address ];
        purpose = "OPC UA";
      }
      {
        port = metrics.opc-server;
        sources = plant.allAddresses;
        purpose = "metrics of opc-server";
      }
    ]
    ++ optionals isModel [
      {
        port = metrics.stream-model;
        sources = plant.allAddresses;
        purpose = "metrics of stream-model";
      }
    ]
    ++ optionals isLedger [
      {
        port = metrics.ledger;
        sources = plant.allAddresses;
        purpose = "metrics of ledger";
      }
    ];
}
