# Stage 1: the shape of a site, table by table as docs/site.md has them.
let
  inherit (builtins)
    attrNames
    concatLists
    concatMap
    elemAt
    hasAttr
    isAttrs
    isFloat
    isInt
    isList
    isString
    length
    match
    stringLength
    ;
  forms = import ./forms.nix;
  inherit (forms)
    anything
    badValue
    boolean
    both
    duration
    imap
    list
    mistake
    named
    number
    outOfRange
    pattern
    table
    text
    whole
    word
    wrongType
    ;
  texts = import ../text.nix;
  inherit (texts)
    item
    matches
    under
    ;
  names = import ../names.nix;
  words = import ./words.nix;
  inherit (words)
    address
    endpoint
    adminName
    hostName
    long
    name
    node
    noParent
    plain
    publicKey
    shortName
    timeServer
    topicName
    unit
    variableName
    ;

  port = whole 1 65535;

  network = table {
    required = {
      gateway = address;
      prefix = whole 8 126;
      nameservers = list { } address;
    };
    optional = {
      device = pattern 15 "[a-z][a-z0-9]*" "a device such as \"eth0\"";
      ntp = list { } timeServer;
    };
  };

  # Settings are free, but for numbers that Nix would not keep.
  free =
    key: value:
    if isAttrs value then
      concatMap (part: free (under key part) value.${part}) (attrNames value)
    else if isList value then
      concatLists (imap (n: free (item key n)) value)
    else if isFloat value then
      wrongType key value "a whole number, or a text such as \"0.5\""
    else if isInt value && !(value > -9223372036854775807 && value < 9223372036854775807) then
      outOfRange key value "a smaller number"
    else
      [ ];
  part = key: value: if isAttrs value then free key value else wrongType key value "a table";

  host = table {
    required = {
      inherit address;
      platforms = list { repeats = false; } (word [
        "raspberry"
        "vbox"
      ]);
      roles = list { repeats = false; } (word [
        "opc-server"
        "collector"
        "kafka"
        "stream-model"
        "writer"
        "influxdb"
        "grafana"
      ]);
    };
    optional = {
      memory = whole 256 1048576;
      settings = table {
        optional = {
          telegraf = part;
          apache-kafka = part;
          influxdb2 = part;
          grafana = part;
        };
      };
    };
  };

  ownServer = table {
    required.host = hostName;
    optional = {
      inherit port;
      record = duration "1min" "90d";
      record_flush = duration "0s" "10min";
      seed = whole 0 2147483647;
      collector = hostName;
    };
  };
  existingServer =
    both
      (
        key: value:
        if hasAttr "namespace" value != hasAttr "namespace_uri" value then
          [ ]
        else
          [ (mistake key "one-of" "has neither or both of namespace and namespace_uri" "write one of them") ]
      )
      (table {
        required = { inherit endpoint; };
        optional = {
          namespace = whole 1 65535;
          namespace_uri = pattern 255 "[A-Za-z0-9:/._#?=&%~+-]+" "a URI such as \"urn:plc\"";
          security_policy = word [
            "None"
            "Basic256Sha256"
            "Aes128_Sha256_RsaOaep"
            "Aes256_Sha256_RsaPss"
          ];
          security_mode = word [
            "None"
            "Sign"
            "SignAndEncrypt"
          ];
          username = pattern 64 "[A-Za-z0-9._@-]+" "a user such as \"reader\"";
          collector = hostName;
        };
      });
  undecidedServer =
    both
      (key: _: [ (mistake key "one-of" "has neither or both of host and endpoint" "write one of them") ])
      (table {
        optional = builtins.listToAttrs (
          map
            (name: {
              inherit name;
              value = anything;
            })
            [
              "host"
              "port"
              "record"
              "record_flush"
              "seed"
              "endpoint"
              "namespace"
              "namespace_uri"
              "security_policy"
              "security_mode"
              "username"
              "collector"
            ]
        );
      });
  server =
    key: value:
    if !isAttrs value then
      wrongType key value "a table"
    else if hasAttr "host" value == hasAttr "endpoint" value then
      undecidedServer key value
    else if hasAttr "host" value then
      ownServer key value
    else
      existingServer key value;

  column = text "a column such as \"{variable}\"" (
    value: stringLength value <= 64 && matches 64 long (plain value)
  );
  kind = word (attrNames sources);
  sources = {
    random-walk = table {
      required = {
        inherit kind;
        step = number {
          low = 0;
          high = 1.0e12;
          zero = false;
        } "a number above 0";
      };
      optional.start = number { } "a number";
    };
    replay = table {
      required = {
        inherit kind column;
        file = text "a file beside site.toml such as \"recordings/{asset}.csv\" (.csv or .parquet)" (
          value:
          stringLength value <= 255
          && match "[A-Za-z0-9._-][A-Za-z0-9._/-]*\\.(csv|parquet)" (plain value) != null
          && noParent value
        );
      };
      optional = {
        time_column = column;
        speed = whole 1 1000;
        loop = boolean;
      };
    };
    sysfs = table {
      required = {
        inherit kind;
        path = text "an absolute path such as \"/sys/bus/w1/devices/28-*/temperature\"" (
          value:
          stringLength value <= 255 && match "/[A-Za-z0-9._:*?@+/-]+" (plain value) != null && noParent value
        );
      };
      optional = {
        scale = number { zero = false; } "a number, not 0";
        offset = number { } "a number";
      };
    };
  };
  source =
    key: value:
    if !isAttrs value then
      wrongType key value "a table"
    else if !hasAttr "kind" value then
      [ (mistake "${key}.kind" "missing-key" "is missing" "add it") ]
    else if kind "" value.kind != [ ] then
      kind "${key}.kind" value.kind
    else
      sources.${value.kind} key value;

  range =
    key: value:
    let
      items = concatLists (imap (n: number { } "a number" (item key n)) value);
    in
    if !isList value then
      wrongType key value "a list of two numbers"
    else
      items
      ++ (
        if length value != 2 then
          [ (mistake key "bad-value" "has other than two items" "write the low and the high end") ]
        else if items == [ ] && !(elemAt value 0 < elemAt value 1) then
          [ (mistake key "out-of-range" "is empty" "write the low end first") ]
        else
          [ ]
      );

  variable = table {
    required.period = duration "10ms" "24h";
    optional = { inherit unit range source; };
  };
  model = table {
    required = {
      function = pattern 64 "[a-z][a-z0-9-]*" "a function such as \"mean-absolute\"";
      inputs = list {
        atMost = 64;
        repeats = false;
      } variableName;
    };
    optional = { inherit unit; };
  };
  assetType = table {
    required.variables = named { empty = false; } variableName variable;
    optional.models = named { } name model;
  };

  assetNames =
    key: value:
    let
      read = names.parse value;
      remedy = "a name such as \"press1\", or names such as \"press{001..120}\"";
    in
    if !isString value then
      wrongType key value remedy
    else if stringLength value > 255 || read == null then
      badValue key value remedy
    else if read.count < 1 || read.count > names.most then
      outOfRange key value "the lower number first, for at most ${toString names.most} names"
    else if !names.valid read then
      badValue key value "what gives names that begin with a letter, at most 64 long"
    else
      [ ];
  asset = table {
    required = {
      names = list { } assetNames;
      type = name;
      server = shortName;
    };
    optional.nodes =
      key: value:
      if isString value then
        node key value
      else if isAttrs value then
        named { } anything node key value
      else
        wrongType key value "a text or a table";
  };

  topic = table {
    optional = {
      partitions = whole 1 256;
      retention = duration "1min" "3650d";
    };
  };
in
table {
  required = {
    schema = whole 1 1;
    inherit network;
    hosts = named { empty = false; } hostName host;
    servers = named { empty = false; } shortName server;
    asset_types = named { empty = false; } name assetType;
    assets = list { } asset;
    topics = both (named { } topicName topic) (
      key: value:
      concatMap
        (
          topic:
          if isAttrs value && !hasAttr topic value then
            [ (mistake "${key}.${topic}" "missing-key" "is missing" "add it") ]
          else
            [ ]
        )
        [
          "opc"
          "model"
        ]
    );
    influxdb = table {
      required = {
        organization = name;
        bucket = name;
        user = name;
      };
      optional = {
        inherit port;
        retention = duration "1h" "36500d";
      };
    };
  };
  optional = {
    admins = named { } adminName (list { } publicKey);
    collection = table {
      optional = {
        outage = duration "1s" "7d";
        buffer = whole 1000 100000000;
        publishing_interval = duration "10ms" "60s";
      };
    };
    kafka = table {
      optional = {
        inherit port;
        controller_port = port;
      };
    };
    grafana = table { optional = { inherit port; }; };
    deploy = table { optional.within = duration "30s" "1h"; };
    metrics = table {
      optional = {
        opc-server = port;
        stream-model = port;
        telegraf = port;
        gap-filler = port;
        ledger = port;
      };
    };
  };
} ""
