# A site whose shape is right, with its defaults filled in and its durations in milliseconds.
# Ranges and sources are left out: they hold floats, and only Python needs them.
site:
let
  inherit (builtins)
    attrNames
    filter
    head
    length
    mapAttrs
    ;
  inherit (import ./check/forms.nix) imap milliseconds;
  net = import ./net.nix;

  collectors = filter (name: builtins.elem "collector" site.hosts.${name}.roles) (
    attrNames site.hosts
  );

  # Null where it cannot be told; the checks refuse that.
  collectorOf =
    server:
    if server ? collector then
      if builtins.elem server.collector collectors then server.collector else null
    else if length collectors == 1 then
      head collectors
    else
      null;

  server =
    name: table:
    let
      own = table ? host;
      port = table.port or 4840;
    in
    {
      inherit name own;
      collector = collectorOf table;
      username = table.username or null;
      security_policy = table.security_policy or "None";
      security_mode = table.security_mode or "None";
    }
    // (
      if own then
        {
          inherit port;
          inherit (table) host;
          record_ms = milliseconds (table.record or "1d");
          record_flush_ms = milliseconds (table.record_flush or "10s");
          seed = table.seed or null;
          endpoint = "opc.tcp://${net.inUrl site.hosts.${table.host}.address}:${toString port}";
          # asyncua gives a server's own nodes this namespace: 0 is the standard's, 1 the server's.
          namespace = 2;
          namespace_uri = null;
        }
      else
        {
          host = null;
          port = null;
          record_ms = null;
          record_flush_ms = null;
          seed = null;
          inherit (table) endpoint;
          namespace = table.namespace or null;
          namespace_uri = table.namespace_uri or null;
        }
    );
in
{
  network = {
    device = "enp0s3";
    ntp = [ "0.nixos.pool.ntp.org" ];
    inherit (net.parse site.network.gateway) family;
  }
  // site.network;
  hosts = mapAttrs (
    name: host:
    {
      inherit name;
      memory = 2048;
      settings = { };
    }
    // host
  ) site.hosts;
  admins = site.admins or { };
  servers = mapAttrs server site.servers;
  types = mapAttrs (_: type: {
    variables = mapAttrs (name: variable: {
      inherit name;
      unit = variable.unit or "";
      period_ms = milliseconds variable.period;
    }) type.variables;
    models = mapAttrs (
      name: model:
      {
        inherit name;
        unit = "";
      }
      // model
    ) (type.models or { });
  }) site.asset_types;
  collection = {
    outage_ms = milliseconds (site.collection.outage or "10min");
    buffer = site.collection.buffer or null;
    publishing_interval_ms = milliseconds (site.collection.publishing_interval or "100ms");
  };
  topics = mapAttrs (name: topic: {
    inherit name;
    partitions = topic.partitions or 4;
    retention_ms = milliseconds (topic.retention or "7d");
  }) site.topics;
  kafka = {
    port = 9092;
    controller_port = 9093;
  }
  // (site.kafka or { });
  influxdb = {
    inherit (site.influxdb) organization bucket user;
    port = site.influxdb.port or 8086;
    retention_ms = milliseconds (site.influxdb.retention or "30d");
  };
  grafana = {
    port = 3000;
  }
  // (site.grafana or { });
  deploy.within_ms = milliseconds (site.deploy.within or "3min");
  metrics = {
    opc_server = site.metrics.opc-server or 9101;
    stream_model = site.metrics.stream-model or 9102;
    telegraf = site.metrics.telegraf or 9103;
    gap_filler = site.metrics.gap-filler or 9104;
    ledger = site.metrics.ledger or 9105;
  };

  inherit collectors;

  # The entries of the list of assets, not expanded.
  entries = imap (index: entry: {
    inherit index;
    inherit (entry) type server;
    ranges = entry.names;
    nodes = entry.nodes or "s={asset}.{variable}";
  }) site.assets;

  # Whether values come from somewhere, where a server of ours needs that.
  hasSource = type: variable: site.asset_types.${type}.variables.${variable} ? source;
}
