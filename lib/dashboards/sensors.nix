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
  unitOf = import ./units.nix;

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
      options = graphOptions;
    };

  firstAsset = (head site.assets).name;
in
board {
  uid = "fieldline-sensors";
  title = "Sensor Dashboard";
  refresh = "5s";
  from = "now-15m";

  variables = [
    (variable "asset" "Asset" (tagValues "asset" ''r._measurement == "opc_server"'') {
      current = {
        selected = true;
        text = [ firstAsset ];
        value = [ firstAsset ];
      };
    })
    (variable "variable" "Variable"
      (tagValues "_field" ''r._measurement == "opc_server" and r._field != "Quality" and (${chosenAssets})'')
      (all // { includeAll = true; })
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
