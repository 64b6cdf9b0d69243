# The writer: Kafka's topics `opc`, `model` and `opc.ledger` → InfluxDB, the only one that writes there. What
# is said here of Telegraf was read in 1.37.2 (plugins/inputs/kafka_consumer, parsers/json_v2).
{
  plant,
  host,
  store,
}:
let
  inherit (plant) site;
  tokens = import ../tokens.nix;

  # Records read but not yet in InfluxDB, for each topic: two batches, so that one is written while
  # the next is read. With a flush each 100 ms this lets 100,000 records/s pass.
  batch = 5000;
  undelivered = 2 * batch;

  client = "telegraf-${host.name}";
  consumer = name: topic: parser: {
    alias = name;
    brokers = [ plant.bootstrap ];
    client_id = client;
    topics = [ topic ];
    consumer_group = "telegraf-${name}";
    # Kafka 4 answers none of the versions that the client would speak by default: it loops on EOF.
    kafka_version = "3.6.0";
    # A writer that comes late, or anew, brings all that the topic still holds.
    offset = "oldest";
    inherit (import ./patience.nix) metadata_retry_max metadata_retry_backoff;
    # A broker that is away at the start is waited for, rather than ending Telegraf.
    startup_error_behavior = "retry";
    max_undelivered_messages = undelivered;
    # While InfluxDB is away nothing is taken, and beyond this the client gives its fetch up and asks
    # for it again; it costs nothing to let it wait.
    max_processing_time = "5s";
    max_message_len = 1000000;
    # A record that the parser refuses is marked as read, counted and logged: it never blocks the rest.
    data_format = "json_v2";
    json_v2 = [ parser ];
    tags.route = "writer";
  };

  # `json` and `xpath_json` carry the time in a float and shift it by up to 128 ns; json_v2 keeps it.
  timestamp = {
    timestamp_path = "timestamp";
    timestamp_format = "unix_ns";
  };

  opc = timestamp // {
    measurement_name_path = "name";
    tag = [
      { path = "tags.asset"; }
      { path = "tags.id"; }
    ];
    # Whatever the record has: the variable, and Quality.
    object = [
      {
        path = "fields";
        disable_prepend_keys = true;
      }
    ];
  };

  model = timestamp // {
    measurement_name = "model";
    tag = [
      { path = "name"; }
      { path = "asset"; }
    ];
    field = [
      {
        path = "value";
        type = "float";
      }
      # Not a tag: a later revision must overwrite the earlier one.
      {
        path = "revision";
        type = "int";
      }
    ];
  };

  # The counts of pkgs/fieldline's messages.ledger. A later record of an hour overwrites what it has
  # of the same fields, and leaves the others as they are.
  ledger = timestamp // {
    measurement_name = "ledger";
    tag = [
      { path = "tags.asset"; }
      { path = "tags.variable"; }
    ];
    object = [
      {
        path = "fields";
        disable_prepend_keys = true;
        # A number is a float unless told otherwise.
        fields = builtins.listToAttrs (
          map
            (name: {
              inherit name;
              value = "int";
            })
            [
              "produced"
              "received"
              "missing"
              "filled"
              "late"
              "doubled"
              "stored"
              "settled"
              "lacking"
            ]
        );
      }
    ];
  };

  consumers = [
    (consumer "opc" "opc" opc)
    (consumer "model" "model" model)
    (consumer "ledger" plant.names.ledger ledger)
  ];
in
{
  usesStore = true;
  # Telegraf takes letters, digits and underscores only in the name of a secret.
  credentials.influxdb_writer_token = tokens.file "writer";

  # A writer that was killed holds its partitions for the 10 s of its session, which Telegraf has no
  # setting for.
  preStart = [
    {
      program = "fieldline";
      arguments = [
        "ready"
        "group"
        "--bootstrap-servers"
        plant.bootstrap
        "--client-id"
        client
      ]
      ++ builtins.concatMap (one: [
        "--group"
        one.consumer_group
      ]) consumers;
    }
  ];

  settings = {
    inputs.kafka_consumer = consumers;

    outputs.influxdb_v2 = [
      {
        urls = [ plant.influxdbUrl ];
        token = "@{${store}:influxdb_writer_token}";
        inherit (site.influxdb) organization bucket;
        # On loopback compression only costs.
        content_encoding = "identity";
        # A compaction on a slow disk may hold a write up for longer than the default of 5 s; a write
        # that is given up is sent again and costs double.
        timeout = "20s";

        flush_interval = "100ms";
        flush_jitter = "0s";
        metric_batch_size = batch;
        # All topics' records in flight, so that nothing is dropped here: Kafka is the buffer.
        metric_buffer_limit = builtins.length consumers * undelivered + batch;

        tagpass.route = [ "writer" ];
        tagexclude = [ "route" ];
      }
    ];
  };
}
