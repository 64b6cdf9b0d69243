# "Sensor Dashboard": a panel for each variable of the chosen assets, repeated by Grafana, and one for
# the models. It asks the data for names, so 10,000 variables are still this one dashboard.
{ plant }:
let
  inherit (builtins)
    attrValues
    concatMap
    groupBy
    head
    length
    ;
  inherit (plant) site util;
  unitOf = import ./units.nix;

  datasource = {
    type = "influxdb";
    uid = "fieldline-influxdb";
  };
  bucket = site.influxdb.bucket;

  # `regex` makes one name or several into one expression. A regular expression is matched by
  # InfluxDB's index, which `contains` is not.
  chosenAssets = "r.asset =~ /^\${asset:regex}$/";

  valuesQuery = ''
    from(bucket: "${bucket}")
      |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
      |> filter(fn: (r) => r._measurement == "opc_server" and r._field == "''${variable}" and (${chosenAssets}))
      |> aggregateWindow(every: v.windowPeriod, fn: mean, createEmpty: false)
      |> keep(columns: ["_time", "_value", "asset"])
      |> rename(columns: {_value: "''${variable}"})
  '';

  # A column for each model, so that each has its name and unit.
  modelsQuery = ''
    from(bucket: "${bucket}")
      |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
      |> filter(fn: (r) => r._measurement == "model" and r._field == "value" and (${chosenAssets}))
      |> aggregateWindow(every: v.windowPeriod, fn: mean, createEmpty: false)
      |> keep(columns: ["_time", "_value", "asset", "name"])
      |> group(columns: ["asset"])
      |> pivot(rowKey: ["_time"], columnKey: ["name"], valueColumn: "_value")
  '';

  tagValues = tag: predicate: ''
    import "influxdata/influxdb/schema"
    schema.tagValues(bucket: "${bucket}", tag: "${tag}", predicate: (r) => ${predicate}, start: v.timeRangeStart)
  '';

  # Repeated panels share their field settings, so units go by the field's name, which the queries
  # above make the variable's or the model's. A name with different units in two types has none.
  overrides =
    named:
    concatMap (
      items:
      let
        units = util.unique (map (item: item.unit) items);
      in
      if length units > 1 || units == [ "" ] then
        [ ]
      else
        [
          {
            matcher = {
              id = "byName";
              options = (head items).name;
            };
            properties = [
              {
                id = "unit";
                value = unitOf (head units);
              }
            ];
          }
        ]
    ) (attrValues (groupBy (item: item.name) (concatMap attrValues named)));

  types = attrValues site.types;

  panel =
    {
      id,
      title,
      query,
      displayName,
      gridPos,
      items,
    }:
    {
      inherit
        id
        title
        gridPos
        datasource
        ;
      type = "timeseries";
      targets = [
        {
          refId = "A";
          inherit datasource query;
        }
      ];
      fieldConfig = {
        defaults = {
          inherit displayName;
          custom = {
            drawStyle = "line";
            lineWidth = 1;
            fillOpacity = 5;
            showPoints = "auto";
            spanNulls = false;
          };
        };
        overrides = overrides items;
      };
      options = {
        legend = {
          showLegend = true;
          displayMode = "list";
          placement = "bottom";
          calcs = [ ];
        };
        tooltip = {
          mode = "multi";
          sort = "none";
        };
      };
    };

  variable =
    name: label: query: extra:
    {
      inherit
        name
        label
        query
        datasource
        ;
      definition = query;
      type = "query";
      # Asked again when the time range changes.
      refresh = 2;
      sort = 1;
      hide = 0;
      multi = true;
      includeAll = false;
      options = [ ];
      regex = "";
      skipUrlSync = false;
    }
    // extra;

  firstAsset = (head site.assets).name;
in
{
  uid = "fieldline-sensors";
  title = "Sensor Dashboard";
  tags = [ "fieldline" ];
  schemaVersion = 39;
  editable = false;
  graphTooltip = 1;
  timezone = "browser";
  refresh = "5s";
  time = {
    from = "now-15m";
    to = "now";
  };
  annotations.list = [ ];
  links = [ ];

  templating.list = [
    (variable "asset" "Asset" (tagValues "asset" ''r._measurement == "opc_server"'') {
      current = {
        selected = true;
        text = [ firstAsset ];
        value = [ firstAsset ];
      };
    })
    (variable "variable" "Variable"
      (tagValues "_field" ''r._measurement == "opc_server" and r._field != "Quality" and (${chosenAssets})'')
      {
        includeAll = true;
        current = {
          selected = true;
          text = [ "All" ];
          value = [ "$__all" ];
        };
      }
    )
  ];

  panels = [
    (
      panel {
        id = 1;
        title = "\${variable}";
        query = valuesQuery;
        displayName = "\${__field.labels.asset}";
        gridPos = {
          x = 0;
          y = 0;
          w = 12;
          h = 8;
        };
        items = map (type: type.variables) types;
      }
      // {
        repeat = "variable";
        repeatDirection = "h";
        maxPerRow = 3;
      }
    )
    (panel {
      id = 2;
      title = "Models";
      query = modelsQuery;
      displayName = "\${__field.labels.asset} \${__field.name}";
      gridPos = {
        x = 0;
        y = 8;
        w = 24;
        h = 8;
      };
      items = map (type: type.models) types;
    })
  ];
}
