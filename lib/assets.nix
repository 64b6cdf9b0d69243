# The assets of a filled-in site: expanded, with the nodes in full, and what each collector must hold.
site:
let
  inherit (builtins)
    attrNames
    attrValues
    concatMap
    elemAt
    filter
    foldl'
    genList
    groupBy
    hasAttr
    head
    isString
    length
    listToAttrs
    mapAttrs
    match
    replaceStrings
    toString
    ;
  inherit (import ./check/forms.nix) imap;
  names = import ./names.nix;
  text = import ./text.nix;

  sum = foldl' (total: number: total + number) 0;

  lower = replaceStrings [ "A" "B" "C" "D" "E" "F" ] [ "a" "b" "c" "d" "e" "f" ];

  # A declared node with its namespace and variable; the asset is still to be replaced.
  pattern =
    server: variable: node:
    let
      parts = match "(ns=([0-9]+);)?([igs])=(.*)" node;
      namespace = elemAt parts 1;
      kind = elemAt parts 2;
      identifier = elemAt parts 3;
    in
    rec {
      prefix =
        if namespace != null then
          "ns=${toString (text.toInt namespace)};${kind}="
        else if server.namespace != null then
          "ns=${toString server.namespace};${kind}="
        else
          "nsu=${server.namespace_uri};${kind}=";
      # A server of ours has one namespace.
      foreign = server.own && namespace != null && text.toInt namespace != server.namespace;
      body =
        {
          i = toString (text.toInt identifier);
          g = lower identifier;
          s = replaceStrings [ "{variable}" ] [ variable ] identifier;
        }
        .${kind};
      of = asset: prefix + replaceStrings [ "{asset}" ] [ asset ] body;
    };

  declared = filter (
    entry: hasAttr entry.type site.types && hasAttr entry.server site.servers
  ) site.entries;

  entries = map (
    entry:
    let
      variables = site.types.${entry.type}.variables;
      server = site.servers.${entry.server};
      texts =
        if isString entry.nodes then
          mapAttrs (_: _: entry.nodes) variables
        else
          builtins.intersectAttrs variables entry.nodes;
    in
    entry
    // {
      count = sum (map (range: (names.parse range).count) entry.ranges);
      variables = length (attrNames variables);
      patterns = mapAttrs (pattern server) texts;
    }
  ) declared;

  counted = sum (map (entry: entry.count) entries);
  countedVariables = sum (map (entry: entry.count * entry.variables) entries);

  named = concatMap (
    entry: map (name: { inherit name entry; }) (concatMap names.expand entry.ranges)
  ) entries;

  # In a set made of a list, the first of equal names wins: where a name or node stands first.
  firsts = list: listToAttrs (imap (value: name: { inherit name value; }) list);

  firstNames = firsts (map (asset: asset.name) named);
  marked = imap (index: asset: asset // { first = firstNames.${asset.name} == index; }) named;
  kept = filter (asset: asset.first) marked;

  list = map (asset: {
    inherit (asset) name;
    inherit (asset.entry) type server;
    nodes = mapAttrs (_: pattern: pattern.of asset.name) asset.entry.patterns;
  }) kept;

  nodes = concatMap (
    n:
    let
      asset = elemAt list n;
    in
    map (node: {
      name = "${asset.server} ${node}";
      inherit (elemAt kept n) entry;
    }) (attrValues asset.nodes)
  ) (genList (n: n) (length list));
  firstNodes = firsts (map (node: node.name) nodes);

  indexes =
    items:
    map (group: (head group).entry.index) (
      attrValues (groupBy (item: toString item.entry.index) items)
    );

  # What one asset of a type adds to a buffer while Kafka is unreachable.
  held = mapAttrs (
    _: type:
    sum (
      map (variable: (site.collection.outage_ms + variable.period_ms - 1) / variable.period_ms) (
        attrValues type.variables
      )
    )
  ) site.types;
  byServer = mapAttrs (_: assets: sum (map (asset: held.${asset.type}) assets)) (
    groupBy (asset: asset.server) list
  );
  metricsOf =
    host:
    sum (
      map (server: if site.servers.${server}.collector == host then byServer.${server} else 0) (
        attrNames byServer
      )
    );
in
rec {
  inherit entries list;

  most = 100000;
  mostVariables = 1000000;
  # Beyond, an evaluation would take minutes or the memory of the machine.
  tooMany = counted > most || countedVariables > mostVariables;

  # The entries that repeat a name, or a node, by their index.
  repeatedNames = indexes (filter (asset: !asset.first) marked);
  repeatedNodes = indexes (
    builtins.concatLists (
      imap (index: node: if firstNodes.${node.name} == index then [ ] else [ node ]) nodes
    )
  );

  collectors = listToAttrs (
    map (name: {
      inherit name;
      value = rec {
        needed = metricsOf name;
        buffer =
          if site.collection.buffer != null then
            site.collection.buffer
          # Telegraf's own default is 10,000 metrics.
          else if needed + (needed + 3) / 4 < 10000 then
            10000
          else
            needed + (needed + 3) / 4;
      };
    }) site.collectors
  );
}
