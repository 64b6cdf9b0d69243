# The units of lib/ as NixOS' own. A unit whose program is ours (`fieldline.programs`) is bound whole; of
# one that nixpkgs has a module for, everything but the commands that this module makes itself.
{
  config,
  lib,
  utils,
  ...
}:
let
  inherit (lib) mkOption types;
  inherit (config.fieldline) programs settings;

  # Stronger than what nixpkgs' module sets, weaker than a user's mkForce.
  bound = lib.mkOverride 90;

  isOurs = command: programs ? ${command.program};
  commandLine =
    command:
    # What is done once is so far left to nixpkgs' modules, which do it themselves.
    assert !(command ? unless);
    utils.escapeSystemdExecArgs ([ programs.${command.program} ] ++ command.arguments);
  commandLines = commands: map commandLine (builtins.filter isOurs commands);

  service = unit: {
    description = bound unit.description;
    inherit (unit)
      after
      wants
      requires
      wantedBy
      ;
    environment = lib.mapAttrs (_: bound) unit.environment;
    unitConfig = lib.mapAttrs (_: bound) unit.unitConfig;
    serviceConfig =
      lib.mapAttrs (_: bound) unit.serviceConfig
      // lib.optionalAttrs (isOurs unit.command) { ExecStart = commandLine unit.command; }
      # In place of what nixpkgs' module may wait with, for ever.
      // lib.optionalAttrs (unit.postStart != [ ]) {
        ExecStartPost = bound (commandLines unit.postStart);
      }
      // lib.filterAttrs (_: lines: lines != [ ]) {
        ExecCondition = commandLines unit.conditions;
        ExecStartPre = commandLines unit.preStart;
        LoadCredential = lib.mapAttrsToList (name: path: "${name}:${path}") unit.credentials;
      };
    # Our programs read the site at their start.
    restartTriggers = lib.optional (isOurs unit.command) config.fieldline.siteFile;
  };

  path = unit: {
    inherit (unit) wantedBy;
    description = bound unit.description;
    pathConfig = lib.mapAttrs (_: bound) unit.pathConfig;
  };
in
{
  options.fieldline.programs = mkOption {
    type = types.attrsOf (types.strMatching "/.*");
    default = { };
    internal = true;
    description = "Where the programs are that lib/ speaks of by name.";
  };

  config.systemd = {
    services = lib.mapAttrs (_: service) settings.units;
    paths = lib.mapAttrs (_: path) settings.paths;
  };
}
