# The collector: OPC UA subscriptions with source timestamps → Kafka's topic `opc`, keyed by asset.
# What is said here of Telegraf was read in 1.37.2 (plugins/inputs/opcua_listener, common/opcua) and
# gopcua 0.8.0.
{
  plant,
  host,
  store,
}:
let
  inherit (builtins)
    concatLists
    concatMap
    elemAt
    genList
    groupBy
    length
    match
    toString
    ;
  inherit (plant) site util;
  inherit (util)
    ceilDiv
    chunks
    clamp
    max
    ;
  units = import ../units.nix;
  client = import ../opcua-client.nix { inherit plant host; };
  inherit (client) servers encrypted;

  milliseconds = number: "${toString number}ms";

  # All nodes of a listener are created in one request. On an encrypted channel that request fails
  # from about 1,000 nodes on; without, a PLC's usual limit for one call is 1,000, and our own server
  # takes thousands (10,000 were tried).
  listenerSize =
    server:
    if encrypted server then
      500
    else if server.own then
      5000
    else
      1000;

  # How long the server must hold values that it cannot deliver at the moment: a stalled connection, a
  # paused collector. TCP's retransmissions back off to tens of seconds after a cut of as much, so a
  # minute; for a server of ours no more than fits a quarter of its host's memory at 1 KiB a value,
  # and 10 s for a PLC, which may cap it further. What a longer cut loses, the gap filler brings.
  stallSeconds =
    server:
    if server.own then
      clamp 5 60 (site.hosts.${server.host}.memory * 256 * 1000 / max 1 (plant.milliRate server))
    else
      10;
  # Telegraf's own default of 10 is the least.
  queueSize = stall: variable: max 10 (ceilDiv (stall * 1000) variable.period_ms);

  # 0 is exception-based: our server reports each value as it is written, and none is skipped. A PLC
  # would sample as fast as it can; the declared period is what buffers are sized for.
  samplingInterval = server: variable: if server.own then "0s" else milliseconds variable.period_ms;

  parseNode =
    server: node:
    let
      parts = match "ns=([0-9]+);([isg])=(.*)" node;
    in
    if parts != null then
      parts
    else
      throw (
        "servers.${server.name}.namespace_uri: Telegraf 1.37's opcua_listener resolves a namespace URI "
        + "before it has connected, and refuses its whole configuration; "
        + "give the index as servers.${server.name}.namespace"
      );

  nodesOf =
    server:
    let
      stall = stallSeconds server;
      # Per type and variable once, not per asset.
      monitoring = builtins.mapAttrs (
        _: type:
        builtins.mapAttrs (_: variable: {
          sampling_interval = samplingInterval server variable;
          queue_size = queueSize stall variable;
          # A full queue loses its oldest value, so that the newest is never the one missing.
          discard_oldest = true;
        }) type.variables
      ) site.types;
    in
    concatMap (
      asset:
      util.mapToList (
        variable: node:
        let
          parts = parseNode server node;
        in
        {
          asset = asset.name;
          node = {
            name = variable;
            namespace = elemAt parts 0;
            identifier_type = elemAt parts 1;
            identifier = elemAt parts 2;
            monitoring_params = monitoring.${asset.type}.${variable};
          };
        }
      ) asset.nodes
    ) (plant.assetsOf server);

  # A group only sets defaults for its nodes: here the tag, so a group is an asset.
  groups =
    nodes:
    util.mapToList (asset: members: {
      default_tags = { inherit asset; };
      nodes = map (member: member.node) members;
    }) (groupBy (member: member.asset) nodes);

  # Telegraf passes a value on only if its status is Good (0) or listed here. Anything else it drops,
  # and worse: it sends the last good value again, at the old time, with the new status, which in
  # InfluxDB overwrites the good one. Quality belongs to a value, so these are passed with it.
  # BadNodeIdUnknown is there because one unknown node at the start would otherwise stop the listener.
  statusCodes = [
    "0x002D0000" # GoodSubscriptionTransferred
    "0x002E0000" # GoodCompletesAsynchronously
    "0x002F0000" # GoodOverload
    "0x00300000" # GoodClamped
    "0x00960000" # GoodLocalOverride
    "0x00A20000" # GoodEntryInserted
    "0x00A30000" # GoodEntryReplaced
    "0x00000480" # Good, and the server's queue has overflowed
    "0x00000500" # Good, limited low
    "0x00000600" # Good, limited high
    "0x00000700" # Good, constant
    "0x40000000" # Uncertain
    "0x408F0000" # UncertainNoCommunicationLastUsableValue
    "0x40900000" # UncertainLastUsableValue
    "0x40910000" # UncertainSubstituteValue
    "0x40920000" # UncertainInitialValue
    "0x40930000" # UncertainSensorNotAccurate
    "0x40940000" # UncertainEngineeringUnitsExceeded
    "0x40950000" # UncertainSubNormal
    "0x40000480" # Uncertain, and the server's queue has overflowed
    "0x80000000" # Bad
    "0x80310000" # BadNoCommunication
    "0x80320000" # BadWaitingForInitialData
    "0x80340000" # BadNodeIdUnknown
    "0x803C0000" # BadOutOfRange
    "0x80890000" # BadConfigurationError
    "0x808A0000" # BadNotConnected
    "0x808B0000" # BadDeviceFailure
    "0x808C0000" # BadSensorFailure
    "0x808D0000" # BadOutOfService
    "0x809B0000" # BadNoData
    "0x809D0000" # BadDataLost
    "0x809E0000" # BadDataUnavailable
    "0x80000480" # Bad, and the server's queue has overflowed
  ];

  # Telegraf knows these policies by name only. For the two newer ones it must choose by itself: the
  # one of the declared mode that the server ranks highest.
  policy =
    server:
    if
      builtins.elem server.security_policy [
        "None"
        "Basic256Sha256"
      ]
    then
      server.security_policy
    else
      "auto";

  # Telegraf takes letters, digits and underscores only in the name of a secret; with another
  # character it would send the reference itself as the password. No server's name has an underscore.
  passwordKey = server: builtins.replaceStrings [ "-" ] [ "_" ] (client.password server);

  security =
    server:
    {
      security_policy = policy server;
      inherit (server) security_mode;
    }
    // (
      if encrypted server then
        {
          certificate = units.credentialPath "telegraf" client.certificate;
          private_key = units.credentialPath "telegraf" client.key;
        }
      # Empty, or Telegraf looks for its own files under /etc and generates what is missing.
      else
        {
          certificate = "";
          private_key = "";
        }
    )
    // (
      if server.username != null then
        {
          auth_method = "UserName";
          inherit (server) username;
          password = "@{${store}:${passwordKey server}}";
        }
      else
        { auth_method = "Anonymous"; }
    );

  listener =
    server: count: index: nodes:
    {
      alias = if count == 1 then server.name else "${server.name}-${toString (index + 1)}";
      name = "opc_server";
      inherit (server) endpoint;
      timestamp = "source";
      subscription_interval = milliseconds site.collection.publishing_interval_ms;

      # How a lost server is found again. gopcua has its own attempt, 5 s apart, which can end up
      # connected with no subscription, and nothing would be collected any more. Telegraf's Gather makes
      # a whole new connection as soon as it sees the state "not connected", so it has to come first.
      interval = "1s";
      # With any other word a server that is away at the start ends Telegraf, and with it the collection
      # from all others. (startup_error_behavior has no effect on this plugin.)
      connect_fail_behavior = "retry";
      # An attempt holds up the next one. Our server answers in milliseconds; a PLC may need seconds to
      # sign a session on an encrypted channel.
      connect_timeout = if server.own then "2s" else "10s";
      request_timeout = "10s";
      # After this without a word the server forgets the session, and its queues with it.
      session_timeout = "20m";

      workarounds.additional_valid_status_codes = statusCodes;
      group = groups nodes;
      tags.route = "collector";
    }
    // security server;

  listeners =
    server:
    let
      parts = chunks (listenerSize server) (nodesOf server);
    in
    genList (index: listener server (length parts) index (elemAt parts index)) (length parts);
in
{
  usesStore = client.withPassword != [ ];

  credentials = client.credentials passwordKey;

  settings = {
    inputs.opcua_listener = concatLists (map listeners servers);

    outputs.kafka = [
      {
        brokers = [ plant.bootstrap ];
        client_id = "telegraf-${host.name}";
        topic = "opc";
        # Kafka 4 has dropped the old versions that the client would speak by default.
        version = "3.6.0";
        # The key: all values of an asset are in one partition, in order.
        routing_tag = "asset";
        required_acks = -1;
        # With sequence numbers each message that fails begins a new epoch, and what has one of its own is
        # a request of its own: after an outage of 2 min it took 57 s to catch up instead of 17. Telegraf
        # sends a batch again as a whole anyway, so that repeats are there with them too.
        idempotent_writes = false;
        # 5 × 100 ms within the client; then the batch stays in the buffer and is tried at each flush.
        max_retry = 5;
        # Else the client looks away for 10 s after its third failure within 10 s.
        inherit (import ./patience.nix) metadata_retry_max metadata_retry_backoff;
        # gzip: JSON shrinks to a tenth, and every Kafka client can read it (the others need a library
        # that Python clients lack by default).
        compression_codec = 1;
        # The only header that Telegraf can set is its metric's name; it stands for the format.
        metric_name_header = "format";
        startup_error_behavior = "retry";

        data_format = "json";
        json_timestamp_units = "1ns";

        # A value waits at most this long, and 10,000 values/s are batches of 1,000.
        flush_interval = "100ms";
        flush_jitter = "0s";
        metric_batch_size = 5000;
        # What `collection.outage` needs: the default of 10,000 is full after seconds at a real load.
        metric_buffer_limit = site.collectors.${host.name}.buffer;

        tagpass.route = [ "collector" ];
        tagexclude = [ "route" ];
      }
    ];
  };
}
