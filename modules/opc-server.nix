# The role `opc-server`: our OPC UA server of the declared assets.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.fieldline.opc-server;
  here = builtins.elem "opc-server" config.fieldline.settings.roles;
in
{
  options.fieldline.opc-server.package = lib.mkPackageOption pkgs "opc-server" {
    example = "pkgs.opc-server.overridePythonAttrs { doCheck = false; }";
  };

  config = lib.mkIf here {
    fieldline.programs.opc-server = lib.getExe cfg.package;
  };
}
