# The roles `collector` (OPC UA to Kafka) and `writer` (Kafka to InfluxDB), one process for both.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.fieldline.telegraf;
  inherit (config.fieldline) settings;
  file = settings.files."/etc/telegraf/telegraf.toml" or null;
in
{
  options.fieldline.telegraf.package = lib.mkPackageOption pkgs "telegraf" {
    example = "pkgs.telegraf.overrideAttrs { patches = [ ./ours.patch ]; }";
  };

  config = lib.mkIf (file != null) {
    assertions = [
      {
        assertion = config.services.telegraf.environmentFiles == [ ];
        message = "services.telegraf.environmentFiles: NixOS would replace every $ in Telegraf's configuration; put a secret into the plant's secrets and refer to it as @{credentials:NAME}";
      }
    ];

    services.telegraf = {
      enable = true;
      inherit (cfg) package;
      extraConfig = lib.mapAttrsRecursive (_: lib.mkDefault) file.value;
    };
  };
}
