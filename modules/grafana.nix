# The role `grafana`: the dashboards. Its data source and dashboards are the site's.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.fieldline.grafana;
  inherit (config.fieldline) settings;
  here = builtins.elem "grafana" settings.roles;
  json = pkgs.formats.json { };

  grafana = config.services.grafana.settings;
  dashboards = lib.filterAttrs (
    path: _: lib.hasPrefix "/etc/grafana/dashboards/" path
  ) settings.files;
  plugins = config.services.grafana.declarativePlugins;
  declared = settings.files."/etc/grafana/grafana.ini".value;
  fromFile = text: lib.hasPrefix "$__file{" text;
in
{
  options.fieldline.grafana.package = lib.mkPackageOption pkgs "grafana" {
    example = "pkgs.grafana.overrideAttrs { patches = [ ./ours.patch ]; }";
  };

  config = lib.mkIf here {
    assertions = [
      {
        # From 13.2 on InfluxDB's data source is a plug-in that Grafana would fetch at its start.
        assertion =
          lib.versionOlder (lib.getVersion cfg.package) "13.2"
          || lib.any (plugin: lib.hasInfix "influxdb" (lib.getName plugin)) (
            if plugins == null then [ ] else plugins
          );
        message = "fieldline.grafana.package: Grafana ${lib.getVersion cfg.package} has no InfluxDB data source of its own; add the plug-in grafana-influxdb-datasource to services.grafana.declarativePlugins, or take an older Grafana";
      }
      {
        assertion = fromFile grafana.security.admin_password && fromFile grafana.security.secret_key;
        message = "services.grafana.settings.security: a password or key written there would stand in the Nix store, which everybody can read; leave it to the plant's secrets (fieldline secrets rotate)";
      }
      {
        assertion =
          !(grafana."auth.anonymous".enabled or false)
          || (grafana."auth.anonymous".org_role or "Viewer") == "Viewer";
        message = "services.grafana.settings.\"auth.anonymous\": who has not logged in may look at most; remove org_role";
      }
    ];

    services.grafana = {
      enable = true;
      inherit (cfg) package;
      # Where plug-ins are declared, NixOS says where they are.
      settings = lib.mapAttrsRecursive (_: lib.mkDefault) (
        if plugins == null then
          declared
        else
          declared // { paths = removeAttrs declared.paths [ "plugins" ]; }
      );
      provision = {
        enable = true;
        datasources.settings = settings.files."/etc/grafana/provisioning/datasources/fieldline.yaml".value;
        dashboards.settings = settings.files."/etc/grafana/provisioning/dashboards/fieldline.yaml".value;
      };
    };

    environment.etc = lib.mapAttrs' (
      path: file:
      lib.nameValuePair (lib.removePrefix "/etc/" path) {
        source = json.generate (baseNameOf path) file.value;
      }
    ) dashboards;
  };
}
