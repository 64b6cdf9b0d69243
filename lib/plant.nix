# What follows from the site as a whole: which host carries which role, who talks to whom, at which
# address. Every part asks here, so that an address or a URL is put together in one place.
site:
let
  inherit (builtins)
    attrValues
    elem
    filter
    groupBy
    head
    ;
  util = import ./util.nix;
  net = import ./net.nix;

  hostsWith = role: filter (host: elem role host.roles) (attrValues site.hosts);
  only =
    role:
    let
      hosts = hostsWith role;
    in
    if hosts == [ ] then null else head hosts;

  kafkaHost = only "kafka";
  influxdbHost = only "influxdb";
  servers = attrValues site.servers;
in
rec {
  inherit site hostsWith;

  # ADDRESS:PORT with an IPv6 address in brackets, as every program here wants it.
  endpoint = address: port: "${net.inUrl address}:${toString port}";

  has = role: host: elem role host.roles;
  addresses = map (host: host.address);
  allAddresses = addresses (attrValues site.hosts);

  # Kafka is asked for at the host's declared address even on the host itself: the broker names that
  # address to its clients anyway, and there is one path to test.
  bootstrap = endpoint kafkaHost.address site.kafka.port;
  kafkaClients = filter (
    host:
    builtins.any (role: has role host) [
      "collector"
      "stream-model"
      "writer"
      # Where the ledger is.
      "influxdb"
    ]
  ) (attrValues site.hosts);
  inherit kafkaHost influxdbHost;

  # InfluxDB listens on loopback only: its writer and its reader (Grafana) are on its host.
  influxdbUrl = "http://127.0.0.1:${toString site.influxdb.port}";

  # Our own server on a host, or null; schema 1 allows one.
  serverOn =
    host:
    let
      here = filter (server: server.own && server.host == host.name) servers;
    in
    if here == [ ] then null else head here;
  collectedBy = host: filter (server: server.collector == host.name) servers;

  assetsOf =
    let
      byServer = groupBy (asset: asset.server) site.assets;
    in
    server: byServer.${server.name} or [ ];

  # Values a second, times 1000 so that slow variables are not rounded away.
  milliRate = server: builtins.foldl' (sum: asset: sum + typeRates.${asset.type}) 0 (assetsOf server);
  typeRates = builtins.mapAttrs (
    _: type:
    builtins.foldl' (sum: variable: sum + 1000000 / variable.period_ms) 0 (attrValues type.variables)
  ) site.types;

  # The site's readers name these as Python does.
  metrics = {
    opc-server = site.metrics.opc_server;
    stream-model = site.metrics.stream_model;
    gap-filler = site.metrics.gap_filler;
    inherit (site.metrics) telegraf ledger;
  };

  names = {
    site = "/etc/fieldline/site.toml";
    deadLetter = "opc.dead-letter";
    changelog = "model.changelog";
    ledger = "opc.ledger";
    refill = "opc.refill";
  };

  inherit util;
}
