# The role `kafka`: the log of record, one KRaft node.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.fieldline.apache-kafka;
  inherit (config.fieldline) settings;
  here = builtins.elem "kafka" settings.roles;
  properties = settings.files."/etc/apache-kafka/server.properties".value;
  log4j2 = settings.files."/etc/apache-kafka/log4j2.properties".value;
  version = lib.getVersion cfg.package;
in
{
  options.fieldline.apache-kafka.package = lib.mkPackageOption pkgs "apacheKafka_4_1" {
    example = "pkgs.apacheKafka_4_2";
    extraDescription = "The minor version that the lab runs: Kafka's metadata can be upgraded, never taken back.";
  };

  config = lib.mkIf here {
    assertions = [
      {
        assertion = lib.versionAtLeast version "4.1";
        message = "fieldline.apache-kafka.package: Kafka ${version} knows neither the settings nor the metadata of 4.1; take pkgs.apacheKafka_4_1 or a newer one";
      }
    ];

    fieldline.facts.kafka_metadata = lib.versions.majorMinor version;

    services.apache-kafka = {
      enable = true;
      inherit (cfg) package;
      clusterId = settings.kafka.cluster_id;
      formatLogDirs = true;
      # As lib/kafka.nix has it: where there is one disk, it is formatted once, not asked about at each start.
      formatLogDirsIgnoreFormatted =
        builtins.length config.services.apache-kafka.settings."log.dirs" != 1;
      settings = lib.mapAttrs (_: lib.mkDefault) properties;
      jvmOptions = settings.kafka.jvm_options;
    };

    environment.etc."apache-kafka/log4j2.properties".source =
      (pkgs.formats.javaProperties { }).generate "log4j2.properties"
        log4j2;
    systemd.services.apache-kafka.restartTriggers = [
      config.environment.etc."apache-kafka/log4j2.properties".source
    ];
  };
}
