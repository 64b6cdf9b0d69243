# What every host is, whatever its roles: who may log in, time, logs, the tools of an operator.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkDefault mkOption types;
  cfg = config.fieldline.base;
  inherit (config.fieldline) settings;

  # Type and key, without the comment.
  publicKey = lib.concatStringsSep " " (
    lib.take 2 (lib.splitString " " (lib.fileContents ../tests/scenarios/admin.pub))
  );
in
{
  options.fieldline.base = {
    journalSize = mkOption {
      type = types.strMatching "[0-9]+[KMG]";
      default = "512M";
      description = "The most that the journal takes of the disk (of the memory, where it is kept there).";
      example = "64M";
    };

    journalInMemory = mkOption {
      type = types.bool;
      default = false;
      description = ''
        Keep the journal in memory only: it is lost when the power goes, and a flash card lives longer.
      '';
      example = true;
    };

    package = lib.mkPackageOption pkgs "fieldline" {
      example = "pkgs.fieldline.overridePythonAttrs { doCheck = false; }";
      extraDescription = "The command line `fieldline`, for operators and for the units that run it.";
    };
  };

  config = {
    assertions = [
      {
        assertion = settings.admins != { };
        message = "admins: the site names nobody who may log in; add your ssh public key to [admins] in site.toml";
      }
      {
        assertion = !lib.any (lib.hasInfix publicKey) (lib.concatLists (lib.attrValues settings.admins));
        message = "admins: the key of Fieldline's scenarios is no secret, everybody has its private half; write your own in [admins] of site.toml";
      }
    ];

    fieldline.programs.fieldline = lib.getExe cfg.package;

    # Before the test driver's default, behind what a plant writes for a host that is older.
    system.stateVersion = lib.mkOverride 900 "26.05";

    # Who is not in the site is not on the host.
    users.mutableUsers = false;
    users.users =
      lib.mapAttrs (_: keys: {
        isNormalUser = true;
        extraGroups = [
          "wheel"
          "systemd-journal"
        ];
        openssh.authorizedKeys.keys = keys;
      }) settings.admins
      // {
        # At the console alone, for the day when no network leads to the host: ssh takes no passwords.
        root.hashedPasswordFile = config.sops.secrets.console-password-hash.path;
      };
    sops.secrets.console-password-hash.neededForUsers = true;

    # An administrator has a key and no password that could be asked for.
    security.sudo = {
      wheelNeedsPassword = false;
      execWheelOnly = true;
    };

    # Timestamps are the product. opc-server marks values Uncertain until this has synchronised.
    services.timesyncd.enable = mkDefault true;
    networking.timeServers = config.fieldline.network.ntp;
    time.timeZone = mkDefault "UTC";

    services.journald.extraConfig = ''
      Storage=${if cfg.journalInMemory then "volatile" else "persistent"}
      SystemMaxUse=${cfg.journalSize}
      RuntimeMaxUse=${cfg.journalSize}
      MaxRetentionSec=1month
      ForwardToSyslog=no
    '';

    # Local fonts, manuals and editors of a workstation are no use here.
    documentation.enable = mkDefault false;
    environment.systemPackages = [ cfg.package ];

    # A host that has run out of memory or panicked is back in a minute, and its data are on disk.
    boot.kernel.sysctl = {
      "kernel.panic" = 10;
      "kernel.panic_on_oops" = 1;
    };
  };
}
