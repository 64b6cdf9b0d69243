# The site's settings for every host: what NixOS modules bind and the lab runs. Pure, `builtins` only,
# no floats (see docs/site.md). The lab evaluates
#   nix-instantiate --eval --strict --json lib/default.nix --arg site /abs/site.toml -A lab
{
  site ? ../site.toml,
}:
let
  plant = import ./plant.nix (import ./site.nix site);
  declared = plant.site;
  inherit (plant) util;

  dashboards = import ./dashboards { inherit plant; };
  placed = import ./secrets.nix (
    builtins.mapAttrs (_: import ./host.nix { inherit plant dashboards; }) declared.hosts
  );
  inherit (placed) hosts secrets;

  # Beside the declared topics: what stream-model cannot use, with the reason. Rare, so one partition;
  # kept as long as the values it came from. And its state: compacted, each partition beside the input's.
  topics =
    builtins.mapAttrs (_: topic: { inherit (topic) partitions retention_ms; }) declared.topics
    // {
      ${plant.names.deadLetter} = {
        partitions = 1;
        inherit (declared.topics.opc) retention_ms;
      };
      ${plant.names.changelog} = {
        inherit (declared.topics.opc) partitions;
        cleanup_policy = "compact";
      };
      # How many values of each hour are where, and what is to be read again: a few records a minute, in
      # the order in which they were found.
      ${plant.names.ledger} = {
        partitions = 1;
        inherit (declared.topics.opc) retention_ms;
      };
      ${plant.names.refill} = {
        partitions = 1;
        inherit (declared.topics.opc) retention_ms;
      };
    };

  kafka = util.optionalAttrs (plant.kafkaHost != null) (
    let
      part = import ./kafka.nix {
        inherit plant;
        host = plant.kafkaHost;
      };
    in
    {
      host = plant.kafkaHost.name;
      bootstrap_servers = plant.bootstrap;
      cluster_id = part.clusterId;
      jvm_options = part.jvmOptions;
      state = part.directory;
    }
  );

  influxdb = util.optionalAttrs (plant.influxdbHost != null) {
    host = plant.influxdbHost.name;
    url = plant.influxdbUrl;
    inherit (declared.influxdb)
      organization
      bucket
      user
      retention_ms
      port
      ;
    token_directory = (import ./tokens.nix).directory;
  };
in
rec {
  site = declared;
  inherit (declared) network;
  inherit
    hosts
    secrets
    topics
    kafka
    influxdb
    dashboards
    ;
  # What is plain data, for those who are not Nix.
  lab = {
    inherit
      network
      hosts
      secrets
      topics
      kafka
      influxdb
      dashboards
      ;
  };
}
