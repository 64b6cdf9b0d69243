# Apache Kafka 4: one KRaft node that is broker and controller, its unit and its configuration.
{ plant, host }:
let
  inherit (builtins)
    attrValues
    foldl'
    isList
    length
    toString
    ;
  inherit (plant) site util;
  inherit (util)
    clamp
    min
    optionalAttrs
    optionals
    overlay
    ;
  units = import ./units.nix;
  clusterId = import ./cluster-id.nix "${site.influxdb.organization} ${host.name}";

  here = plant.has "kafka" host;
  directory = "/var/lib/apache-kafka";
  configuration = "/etc/apache-kafka/server.properties";
  controller = "127.0.0.1:${toString site.kafka.controller_port}";

  # An eighth of the host: Kafka's own data lives in the page cache, not in the heap. 256 MiB is the
  # least it starts with comfortably, above 4 GiB collection pauses grow and nothing else does.
  heap = clamp 256 4096 (host.memory / 8);

  jvmOptions = [
    "-Xms${toString heap}m"
    "-Xmx${toString heap}m"
    # Half dead is worse than restarted.
    "-XX:+ExitOnOutOfMemoryError"
    # No memory-mapped statistics file in /tmp.
    "-XX:-UsePerfData"
    "-Djava.awt.headless=true"
    "-Dlog4j2.configurationFile=/etc/apache-kafka/log4j2.properties"
  ]
  # A small heap needs no collector with threads of its own; and on the two cores that go with it, the
  # second compiler takes from Kafka's start and first minutes what it does not give back later: flushing
  # and copying are the kernel's. bench/kafka_jvm.py.
  ++ optionals (heap <= 1024) [
    "-XX:+UseSerialGC"
    "-XX:TieredStopAtLevel=1"
  ];

  shortestRetention = foldl' (
    least: topic: min least topic.retention_ms
  ) site.topics.opc.retention_ms (attrValues site.topics);
  day = 86400000;

  properties = {
    "process.roles" = "broker,controller";
    "node.id" = 1;
    "controller.quorum.voters" = "1@${controller}";
    "controller.listener.names" = "CONTROLLER";
    # The controller is nobody's business but this process'.
    "listeners" = [
      "PLAINTEXT://${plant.bootstrap}"
      "CONTROLLER://${controller}"
    ];
    "advertised.listeners" = "PLAINTEXT://${plant.bootstrap}";
    "listener.security.protocol.map" = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT";
    "inter.broker.listener.name" = "PLAINTEXT";
    # After a kill the controller, a part of the same process, refuses the new broker until the old
    # one's session has run out: 9 s by default, for networks between the two. There is none here.
    "broker.session.timeout.ms" = 2000;
    "broker.heartbeat.interval.ms" = 200;
    "log.dirs" = [ "${directory}/log" ];

    # Topics come from the site (kafka-provision), never from a client's typing error.
    "auto.create.topics.enable" = false;

    # One node: the defaults of 3 replicas could never be met.
    "default.replication.factor" = 1;
    "min.insync.replicas" = 1;
    "offsets.topic.replication.factor" = 1;
    "transaction.state.log.replication.factor" = 1;
    "transaction.state.log.min.isr" = 1;
    "share.coordinator.state.topic.replication.factor" = 1;
    "share.coordinator.state.topic.min.isr" = 1;
    # A plant has a handful of groups and transactional producers; the default of 50 partitions each
    # only costs files and seconds at start. Fixed when the topics are first created.
    "offsets.topic.num.partitions" = 8;
    "transaction.state.log.num.partitions" = 8;

    # A group may be away for a season (a plant shut for the winter) and must go on where it was.
    "offsets.retention.minutes" = 525600;
    # A group of one or two members gains nothing from waiting for more.
    "group.initial.rebalance.delay.ms" = 0;
    # Readers of committed records wait for open transactions: a producer that died amid one holds
    # them up for no longer than this.
    "transaction.max.timeout.ms" = 60000;

    # Sources' clocks are not to be trusted with retention: one in 1970 would have its records deleted
    # at once, and a record an hour ahead would be refused, with Telegraf dropping the whole batch.
    "log.message.timestamp.type" = "LogAppendTime";

    "log.retention.ms" = site.topics.opc.retention_ms;
    # Only closed segments are deleted: by default after a week, so that "7d" would mean 14. An eighth
    # of the shortest retention keeps that excess small; a day at most, a minute at least.
    "log.roll.ms" = clamp 60000 day (shortestRetention / 8);
    # There is no replica to survive a power cut, so what is acknowledged is on disk: whoever has sent a
    # record forgets it then, and offsets, state and transactions are of one moment. Kafka's default
    # leaves it to the kernel, half a minute later. What it costs: docs/decisions/0020.
    "log.flush.interval.messages" = 1;
    # The compactor's table of keys. Its default of 128 MiB is a quarter of the heap; 16 MiB hold
    # 700,000 keys, and a changelog has one for each asset and some thousands for its entries.
    "log.cleaner.dedupe.buffer.size" = 16777216;
  };

  configured = overlay properties (host.settings.apache-kafka or { });
  logDirs = configured."log.dirs";
  # A disk that is added to the ones in use is formatted at the next start. Where there is one, it is
  # formatted once: the tool is a JVM that takes a second or three to find that it has nothing to do, and
  # everything waits for Kafka.
  formatAgain = !isList logDirs || length logDirs != 1;

  # journald has the rest: time, unit, rotation.
  log4j2 = {
    "status" = "warn";
    "appender.console.type" = "Console";
    "appender.console.name" = "console";
    "appender.console.target" = "SYSTEM_OUT";
    "appender.console.layout.type" = "PatternLayout";
    "appender.console.layout.pattern" = "%p %c{1} %m%n";
    "rootLogger.level" = "info";
    "rootLogger.appenderRef.console.ref" = "console";
    # It prints every setting, several hundred lines, each time a client or broker object is made.
    "logger.config.name" = "org.apache.kafka.common.config.AbstractConfig";
    "logger.config.level" = "warn";
  };
in
{
  # What a NixOS module needs apart from the files.
  inherit clusterId;
  inherit jvmOptions directory;

  files = optionalAttrs here {
    ${configuration} = {
      format = "properties";
      value = configured;
    };
    "/etc/apache-kafka/log4j2.properties" = {
      format = "properties";
      value = log4j2;
    };
  };

  units = optionalAttrs here {
    apache-kafka = units.foreign "apache-kafka" {
      description = "Apache Kafka, the log of record";
      environment.KAFKA_OPTS = builtins.concatStringsSep " " jvmOptions;
      preStart = [
        # A start on a full disk loses the log, its metadata first: what cannot be indexed is taken for
        # corrupt. Room for the indexes of all open segments, and something to go on with.
        {
          program = "fieldline";
          arguments = [
            "ready"
            "disk"
            "--path"
            directory
            "--free-mib"
            "256"
          ];
        }
        (
          {
            program = "kafka-storage";
            arguments = [
              "format"
              "--cluster-id"
              clusterId
              "--config"
              configuration
            ]
            ++ optionals formatAgain [ "--ignore-formatted" ];
          }
          // optionalAttrs (!formatAgain) { unless = "${builtins.head logDirs}/meta.properties"; }
        )
      ];
      command = {
        program = "kafka-server";
        arguments = [ configuration ];
      };
      postStart = [
        {
          program = "fieldline";
          arguments = [
            "ready"
            "kafka"
            "--bootstrap-servers"
            plant.bootstrap
          ];
        }
      ];
      serviceConfig = {
        StateDirectory = "apache-kafka";
        StateDirectoryMode = "0700";
        # The JVM ends with 143 on SIGTERM.
        SuccessExitStatus = [
          0
          143
        ];
        # Everybody waits for it, and it needs seconds to start: it cannot spin.
        RestartSec = "100ms";
        # Waiting for it is the start: a log that is recovered after a power cut takes minutes.
        TimeoutStartSec = "infinity";
        # It closes its segments; killed amid that, it recovers each of them at the next start.
        TimeoutStopSec = "60s";
        # The JIT writes code.
        MemoryDenyWriteExecute = false;
        # The JVM sizes itself by /proc/meminfo and /proc/cpuinfo.
        ProcSubset = "all";
      };
    };
  };

  users = optionalAttrs here { apache-kafka = { }; };

  firewall = optionals here [
    {
      port = site.kafka.port;
      sources = plant.addresses plant.kafkaClients;
      purpose = "Kafka";
    }
  ];
}
