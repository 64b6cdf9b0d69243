# What the dashboards share: where they ask, how a choice is made, the frame of a dashboard.
{ plant }:
let
  inherit (plant) site;
in
rec {
  datasource = {
    type = "influxdb";
    uid = "fieldline-influxdb";
  };
  inherit (site.influxdb) bucket;

  # `regex` makes one name or several into one expression. A regular expression is matched by
  # InfluxDB's index, which `contains` is not.
  chosenAssets = "r.asset =~ /^\${asset:regex}$/";

  tagValues = tag: predicate: ''
    import "influxdata/influxdb/schema"
    schema.tagValues(bucket: "${bucket}", tag: "${tag}", predicate: (r) => ${predicate}, start: v.timeRangeStart)
  '';

  # A choice: one value or several, asked of the data.
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

  # All values are chosen at first.
  all.current = {
    selected = true;
    text = [ "All" ];
    value = [ "$__all" ];
  };

  # Below a graph its lines' names, and at the pointer the values of all of them.
  graphOptions = {
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

  board =
    {
      uid,
      title,
      refresh,
      from,
      variables,
      panels,
    }:
    {
      inherit
        uid
        title
        refresh
        panels
        ;
      tags = [ "fieldline" ];
      schemaVersion = 39;
      editable = false;
      graphTooltip = 1;
      timezone = "browser";
      time = {
        inherit from;
        to = "now";
      };
      annotations.list = [ ];
      links = [ ];
      templating.list = variables;
    };
}
