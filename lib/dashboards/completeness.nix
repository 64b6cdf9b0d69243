# "Completeness": how many values of each hour were produced and are stored, and the variables that lack
# most. The counts are per hour and variable: a day of 10,000 variables is summed in a second.
{ plant }:
let
  inherit (import ./parts.nix { inherit plant; })
    all
    board
    bucket
    chosenAssets
    datasource
    graphOptions
    tagValues
    variable
    ;

  # An hour's counts are at its begin, so that the hour in which the time range begins is shown whole.
  from = ''
    import "date"
    from(bucket: "${bucket}")
      |> range(start: date.truncate(t: v.timeRangeStart, unit: 1h), stop: v.timeRangeStop)
  '';

  # Several fields, one line each, summed over all variables.
  totals = fields: ''
    ${from}  |> filter(fn: (r) => r._measurement == "ledger" and r._field =~ /^(${builtins.concatStringsSep "|" fields})$/ and (${chosenAssets}))
      |> group(columns: ["_field"])
      |> aggregateWindow(every: 1h, fn: sum, timeSrc: "_start", createEmpty: false)
      |> keep(columns: ["_time", "_value", "_field"])
  '';

  # What is lacking first: few rows are left then, whatever the number of variables.
  worst = ''
    ${from}  |> filter(fn: (r) => r._measurement == "ledger" and r._field =~ /^(lacking|missing)$/ and (${chosenAssets}))
      |> filter(fn: (r) => r._value > 0)
      |> keep(columns: ["_time", "_value", "_field", "asset", "variable"])
      |> group()
      |> pivot(rowKey: ["_time", "asset", "variable"], columnKey: ["_field"], valueColumn: "_value")
      |> map(fn: (r) => ({r with lacking: if exists r.lacking then r.lacking else 0}))
      |> sort(columns: ["lacking"], desc: true)
      |> limit(n: 50)
  '';

  target = query: [
    {
      refId = "A";
      inherit datasource query;
    }
  ];

  place = y: w: x: {
    inherit x y w;
    h = 8;
  };

  # Bars, since a count belongs to a whole hour.
  bars =
    {
      id,
      title,
      description,
      query,
      gridPos,
      defaults ? {
        displayName = "\${__field.labels._field}";
      },
    }:
    {
      inherit
        id
        title
        description
        gridPos
        datasource
        ;
      type = "timeseries";
      targets = target query;
      fieldConfig = {
        defaults = {
          unit = "none";
          min = 0;
          custom = {
            drawStyle = "bars";
            barAlignment = 1;
            lineWidth = 1;
            fillOpacity = 30;
            showPoints = "never";
          };
        }
        // defaults;
        overrides = [ ];
      };
      options = graphOptions;
    };

  # The order of the table's columns.
  columns = [
    "_time"
    "asset"
    "variable"
    "lacking"
    "missing"
  ];
in
board {
  uid = "fieldline-completeness";
  title = "Completeness";
  refresh = "1m";
  from = "now-24h";

  variables = [
    (variable "asset" "Asset" (tagValues "asset" ''r._measurement == "ledger"'') (
      all
      // {
        includeAll = true;
        # One expression for thousands of names.
        allValue = ".*";
      }
    ))
  ];

  panels = [
    (bars {
      id = 1;
      title = "Produced and stored";
      description = "Values of each hour in the servers' history, and in InfluxDB. The hour that goes on is ahead in InfluxDB: the gap filler looks at what is some seconds old.";
      query = totals [
        "produced"
        "stored"
      ];
      gridPos = place 0 12 0;
    })
    (bars {
      id = 2;
      title = "Lacking";
      description = "Values produced and not stored, of hours that are over and counted on both sides. InfluxDB's losses are asked for again; what stays is lost.";
      query = totals [ "lacking" ];
      gridPos = place 0 12 12;
      defaults = {
        displayName = "lacking";
        color = {
          mode = "fixed";
          fixedColor = "red";
        };
      };
    })
    (bars {
      id = 3;
      title = "Missing, filled, late, doubled";
      description = "Values of each hour that are not in Kafka, that the gap filler brought, that came late, and records that came again.";
      query = totals [
        "missing"
        "filled"
        "late"
        "doubled"
      ];
      gridPos = place 8 24 0;
    })
    {
      id = 4;
      title = "Variables that lack most";
      description = "Values that are not in InfluxDB, and of them those that are not in Kafka either, by variable and hour; `fieldline ledger` has all of them.";
      type = "table";
      inherit datasource;
      targets = target worst;
      gridPos = {
        x = 0;
        y = 16;
        w = 24;
        h = 12;
      };
      fieldConfig = {
        defaults.unit = "none";
        overrides = [
          {
            matcher = {
              id = "byName";
              options = "_time";
            };
            properties = [
              {
                id = "displayName";
                value = "hour";
              }
              {
                id = "unit";
                value = "dateTimeAsIso";
              }
            ];
          }
        ];
      };
      options.showHeader = true;
      transformations = [
        {
          id = "organize";
          options = {
            excludeByName = { };
            renameByName = { };
            indexByName = builtins.listToAttrs (
              builtins.genList (place: {
                name = builtins.elemAt columns place;
                value = place;
              }) (builtins.length columns)
            );
          };
        }
      ];
    }
  ];
}
