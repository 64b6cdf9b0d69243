# The role `stream-model`: the declared models, computed from what is on Kafka.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.fieldline.stream-model;
  here = builtins.elem "stream-model" config.fieldline.settings.roles;
in
{
  options.fieldline.stream-model = {
    package = lib.mkPackageOption pkgs "stream-model" {
      example = "pkgs.stream-model.overridePythonAttrs { doCheck = false; }";
    };

    models = mkOption {
      type = types.listOf types.package;
      default = [ ];
      description = ''
        Python packages with models of your own (entry points of the group `fieldline.models`), built with
        the same Python as Fieldline.
      '';
      example = lib.literalExpression "[ (pkgs.python3Packages.callPackage ./bench-models { }) ]";
    };
  };

  config = lib.mkIf here {
    fieldline.programs.stream-model = lib.getExe (cfg.package.override { inherit (cfg) models; });
  };
}
