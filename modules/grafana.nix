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
  fromFile = text: lib.hasPrefix "$__file{" text;
in
{
  options.fieldline.grafana.package = lib.mkPackageOption pkgs "grafana" {
    example = "pkgs.grafana.overrideAttrs { patches = [ ./ours.patch ]; }";
  };

  config = lib.mkIf here {
    assertions = [
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
      settings = lib.mapAttrsRecursive (_: lib.mkDefault) settings.files."/etc/grafana/grafana.ini".value;
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
