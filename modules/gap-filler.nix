# The role `collector`, beside Telegraf: fills what it has missed, and has it restarted.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.fieldline.gap-filler;
  here = builtins.elem "collector" config.fieldline.settings.roles;
in
{
  options.fieldline.gap-filler.package = lib.mkPackageOption pkgs "gap-filler" {
    example = "pkgs.gap-filler.overridePythonAttrs { doCheck = false; }";
  };

  config = lib.mkIf here {
    fieldline.programs.gap-filler = lib.getExe cfg.package;
  };
}
