# Beside the role `influxdb`: how many values of each hour are stored, and what is asked for again.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.fieldline.ledger;
  here = config.fieldline.settings.units ? ledger;
in
{
  options.fieldline.ledger.package = lib.mkPackageOption pkgs "fieldline-ledger" {
    example = "pkgs.fieldline-ledger.overridePythonAttrs { doCheck = false; }";
  };

  config = lib.mkIf here {
    fieldline.programs.ledger = lib.getExe cfg.package;
  };
}
