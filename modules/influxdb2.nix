# The role `influxdb`: the store of values and results. Organisation, bucket, user and tokens are not
# provisioned by nixpkgs' module but by `influxdb-provision` (units.nix): the same code as in the lab, and
# tokens never leave the host (docs/decisions/0005, 0010).
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.fieldline.influxdb2;
  inherit (config.fieldline) settings;
  here = builtins.elem "influxdb" settings.roles;
in
{
  options.fieldline.influxdb2.package = lib.mkPackageOption pkgs "influxdb2-server" {
    example = "pkgs.influxdb2-server.overrideAttrs { patches = [ ./ours.patch ]; }";
  };

  config = lib.mkIf here {
    assertions = [
      {
        assertion = !config.services.influxdb2.provision.enable;
        message = "services.influxdb2.provision: the site provisions InfluxDB, by influxdb-provision.service; remove it, and declare [influxdb] in site.toml";
      }
    ];

    # `influx`, for what an operator does by hand (docs/secrets.md).
    environment.systemPackages = [ pkgs.influxdb2-cli ];

    services.influxdb2 = {
      enable = true;
      inherit (cfg) package;
      settings = lib.mapAttrs (_: lib.mkDefault) settings.files."/etc/influxdb2/config.json".value;
    };
  };
}
