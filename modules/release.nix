# What options are called in the NixOS release at hand, where 26.05 (pinned) and the older tree that the
# evaluation here can use (docs/appliances.md) differ. Nothing else asks which release it is.
{
  config,
  lib,
  options,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.fieldline;
  # 26.05 still has the former names, and warns of them: so the new ones are asked for.
  hasManagerSettings = options.systemd ? settings;
  hasDiskSize = options.virtualisation ? diskSize;
in
{
  options.fieldline.machine = {
    watchdogSeconds = mkOption {
      type = types.nullOr (types.ints.between 1 600);
      default = 30;
      description = ''
        Seconds after which the hardware watchdog resets a machine whose systemd no longer runs; null for
        none. A machine without such hardware starts all the same.
      '';
      example = 10;
    };

    diskMib = mkOption {
      type = types.ints.between 8192 8388608;
      default = 51200;
      description = ''
        Size of the disk in a VirtualBox image, in MiB. The file of the disk grows with what is written.
      '';
      example = 262144;
    };
  };

  config = lib.mkMerge [
    (lib.optionalAttrs hasManagerSettings {
      systemd.settings.Manager = lib.mkIf (cfg.machine.watchdogSeconds != null) {
        RuntimeWatchdogSec = lib.mkDefault "${toString cfg.machine.watchdogSeconds}s";
      };
    })
    (lib.optionalAttrs (!hasManagerSettings) {
      systemd.watchdog.runtimeTime = lib.mkIf (cfg.machine.watchdogSeconds != null) (
        lib.mkDefault "${toString cfg.machine.watchdogSeconds}s"
      );
    })
    (lib.optionalAttrs hasDiskSize {
      virtualisation.diskSize = lib.mkIf (cfg.platform == "vbox") (lib.mkDefault cfg.machine.diskMib);
    })
    (lib.optionalAttrs (!hasDiskSize && options ? virtualbox) {
      virtualbox.baseImageSize = lib.mkDefault cfg.machine.diskMib;
    })
  ];
}
