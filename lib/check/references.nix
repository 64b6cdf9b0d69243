# Stage 2: what a site names is declared, and nothing is given twice. `site` is filled in.
site:
let
  inherit (builtins)
    attrNames
    attrValues
    concatLists
    concatMap
    elem
    filter
    foldl'
    groupBy
    hasAttr
    head
    isString
    length
    toString
    ;
  inherit (import ./forms.nix) imap mistake;
  inherit (import ../text.nix) item part under;
  net = import ../net.nix;

  when = condition: found: if condition then [ found ] else [ ];
  hostNames = attrNames site.hosts;
  serverNames = attrNames site.servers;
  has = role: name: elem role site.hosts.${name}.roles;
  ownOn = name: filter (server: site.servers.${server}.host == name) serverNames;

  gateway = net.parse site.network.gateway;
  inherit (site.network) prefix;
  low = if gateway.family == 4 then 8 else 16;
  high = if gateway.family == 4 then 30 else 126;
  sized = prefix >= low && prefix <= high;

  # The hosts of each address, by name; equal addresses have equal groups.
  byAddress = groupBy (name: builtins.toJSON (net.parse site.hosts.${name}.address).groups) hostNames;

  network =
    (
      if !sized then
        [
          (mistake "network.prefix" "out-of-range" "${toString prefix} is out of range"
            "write ${toString low} to ${toString high}"
          )
        ]
      else
        when (net.reserves prefix gateway) (
          mistake "network.gateway" "outside-network" "is the network's own address or broadcast"
            "write the router's"
        )
    )
    ++ concatMap (
      name:
      let
        address = net.parse site.hosts.${name}.address;
        key = "${under "hosts" name}.address";
        first = head byAddress.${builtins.toJSON address.groups};
      in
      when (first != name || address == gateway) (
        mistake key "duplicate" "is the address of ${
          if address == gateway then "the gateway" else first
        }" "write a free address"
      )
      ++
        when
          (
            address.family != gateway.family
            || (sized && (!net.contains gateway prefix address || net.reserves prefix address))
          )
          (
            mistake key "outside-network" "is no host's address in the network"
              "write an address of the gateway's network"
          )
    ) hostNames;

  roles = concatMap (
    name:
    let
      key = "${under "hosts" name}.roles";
      is = role: has role name;
      first = role: head (filter (has role) hostNames);
      anyKafka = builtins.any (has "kafka") hostNames;
      needs =
        (if is "writer" || is "grafana" then when (!is "influxdb") "influxdb on this host" else [ ])
        ++ (
          if is "collector" || is "stream-model" || is "writer" then
            when (!anyKafka) "a host with kafka"
          else
            [ ]
        )
        ++ (if is "opc-server" then when (ownOn name == [ ]) "a server with host = \"${name}\"" else [ ]);
    in
    when (builtins.any (role: is role && first role != name) [
      "kafka"
      "influxdb"
      "grafana"
    ]) (mistake key "duplicate" "has a role that only one host may have" "give it to one host only")
    ++ when (needs != [ ]) (
      mistake key "role-needs" "need ${builtins.concatStringsSep " and " needs}"
        "add it, or remove the role"
    )
  ) hostNames;

  servers =
    raw:
    concatMap (
      name:
      let
        key = under "servers" name;
        server = site.servers.${name};
        inherit (server) host;
        known = site.collectors;
      in
      (
        if !server.own then
          when ((server.security_policy == "None") != (server.security_mode == "None")) (
            mistake "${key}.security_mode" "security" "does not go with security_policy"
              "write \"None\" for both or for neither"
          )
        else if !hasAttr host site.hosts then
          [ (mistake "${key}.host" "unknown-reference" "${host} is no host" "write a declared host") ]
        else
          when (!has "opc-server" host) (
            mistake "${key}.host" "role-needs" "host ${host} has not the role opc-server"
              "add the role to the host"
          )
          ++ when (head (ownOn host) != name) (
            mistake "${key}.host" "duplicate" "host ${host} has a server already"
              "give each server a host of its own"
          )
      )
      ++ (
        if known == [ ] then
          [ (mistake key "role-needs" "no host collects it" "give a host the role collector") ]
        else if !(raw.servers.${name} ? collector) then
          when (length known > 1) (
            mistake "${key}.collector" "missing-key" "is missing, and several hosts collect"
              "write one of ${builtins.concatStringsSep ", " known}"
          )
        else
          when (server.collector == null) (
            mistake "${key}.collector" "unknown-reference" "is no host with the role collector"
              "write one of ${builtins.concatStringsSep ", " known}"
          )
      )
    ) serverNames;

  types = concatMap (
    type:
    concatMap (
      model:
      concatLists (
        imap (
          n: input:
          when (!hasAttr input site.types.${type}.variables) (
            mistake (item "asset_types.${part type}.models.${part model}.inputs" n) "unknown-reference"
              "${input} is no variable of ${type}"
              "write one of its variables"
          )
        ) site.types.${type}.models.${model}.inputs
      )
    ) (attrNames site.types.${type}.models)
  ) (attrNames site.types);

  ports = concatMap (
    name:
    let
      is = role: has role name;
      own = ownOn name;
      wanted =
        (
          if own == [ ] then
            [ ]
          else
            [
              {
                key = "${under "servers" (head own)}.port";
                inherit (site.servers.${head own}) port;
              }
            ]
        )
        ++ (
          if is "kafka" then
            [
              {
                key = "kafka.port";
                inherit (site.kafka) port;
              }
              {
                key = "kafka.controller_port";
                port = site.kafka.controller_port;
              }
            ]
          else
            [ ]
        )
        ++ when (is "influxdb") {
          key = "influxdb.port";
          inherit (site.influxdb) port;
        }
        ++ when (is "grafana") {
          key = "grafana.port";
          inherit (site.grafana) port;
        }
        ++ when (is "opc-server") {
          key = "metrics.opc-server";
          port = site.metrics.opc_server;
        }
        ++ when (is "stream-model") {
          key = "metrics.stream-model";
          port = site.metrics.stream_model;
        }
        ++ when (is "collector" || is "writer") {
          key = "metrics.telegraf";
          port = site.metrics.telegraf;
        }
        ++ when (is "collector") {
          key = "metrics.gap-filler";
          port = site.metrics.gap_filler;
        }
        ++ when (is "influxdb") {
          key = "metrics.ledger";
          port = site.metrics.ledger;
        };
      check =
        state: want:
        let
          port = toString want.port;
        in
        if hasAttr port state.taken then
          state
          // {
            found = state.found ++ [
              (mistake want.key "port-taken" "${port} is taken by ${state.taken.${port}} on host ${name}"
                "write a free port"
              )
            ];
          }
        else
          state
          // {
            taken = state.taken // {
              ${port} = want.key;
            };
          };
    in
    (foldl' check {
      taken."22" = "ssh";
      found = [ ];
    } wanted).found
  ) hostNames;
in
{ raw, assets }:
let
  entryKey = index: item "assets" index;

  references = concatMap (
    entry:
    when (!hasAttr entry.type site.types) (
      mistake "${entryKey entry.index}.type" "unknown-reference" "${entry.type} is not declared"
        "write a declared asset type"
    )
    ++ when (!hasAttr entry.server site.servers) (
      mistake "${entryKey entry.index}.server" "unknown-reference" "${entry.server} is not declared"
        "write a declared server"
    )
  ) site.entries;

  nodes = concatMap (
    entry:
    let
      key = "${entryKey entry.index}.nodes";
      variables = site.types.${entry.type}.variables;
      given = if isString entry.nodes then variables else entry.nodes;
      inherit (site.servers.${entry.server}) own;
    in
    concatMap (
      name:
      when (!hasAttr name variables) (
        mistake (under key name) "unknown-reference" "is no variable of ${entry.type}"
          "write one of its variables"
      )
    ) (attrNames given)
    ++ concatMap (
      name:
      when (!hasAttr name given) (
        mistake (under key name) "missing-key" "is missing" "add the node of it"
      )
    ) (attrNames variables)
    ++ when (builtins.any (pattern: pattern.foreign) (attrValues entry.patterns)) (
      mistake key "bad-value" "has another namespace than our servers have" "leave \"ns=\" out"
    )
    ++ concatMap (
      name:
      when (own && !site.hasSource entry.type name) (
        mistake "asset_types.${part entry.type}.variables.${part name}.source" "missing-key"
          "is missing, and server ${entry.server} is ours"
          "say where the values come from"
      )
    ) (attrNames variables)
  ) assets.entries;

  repeated =
    map (
      index:
      mistake "${entryKey index}.names" "duplicate" "has a name that is declared before"
        "give each asset a name of its own"
    ) assets.repeatedNames
    ++ map (
      index:
      mistake "${entryKey index}.nodes" "duplicate" "has the node of another variable on the server"
        "give each variable a node of its own"
    ) assets.repeatedNodes;

  buffers = concatMap (
    name:
    let
      inherit (assets.collectors.${name}) needed buffer;
      inherit (site.hosts.${name}) memory;
    in
    when (buffer < needed) (
      mistake "collection.buffer" "buffer" "is less than host ${name} needs"
        "write at least ${toString needed}, or leave it out"
    )
    # A metric takes about 1 KiB, and half of the memory may be used.
    ++ when (buffer * 2 > memory * 1024) (
      mistake "${under "hosts" name}.memory" "memory"
        "is too little for a buffer of ${toString buffer} metrics"
        "write at least ${toString ((buffer * 2 + 1023) / 1024)}"
    )
  ) site.collectors;
in
network
++ roles
++ servers raw
++ types
++ ports
++ references
++ nodes
++ (
  if assets.tooMany then
    [
      (mistake "assets" "out-of-range" "are too many"
        "at most ${toString assets.most} assets with ${toString assets.mostVariables} variables are allowed"
      )
    ]
  else
    repeated ++ buffers
)
