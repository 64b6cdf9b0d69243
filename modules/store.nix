# The Nix store of a host: who may write to it from afar, and how it stays small.
{ config, lib, ... }:
let
  inherit (lib) mkDefault mkOption types;
  cfg = config.fieldline.store;
in
{
  options.fieldline.store = {
    keepDays = mkOption {
      type = types.ints.between 1 3650;
      default = 30;
      description = "Generations older than this are removed once a week; those in use never are.";
      example = 7;
    };

    keepGenerations = mkOption {
      type = types.ints.between 2 100;
      default = 10;
      description = "Generations in the boot menu.";
      example = 3;
    };
  };

  config = {
    nix = {
      settings = {
        # `nix copy` to a host needs either a signature or a trusted user. An administrator is root here
        # anyway; signatures stay asked of everybody else.
        trusted-users = [
          "root"
          "@wheel"
        ];
        allowed-users = [
          "root"
          "@wheel"
        ];
        require-sigs = true;
        experimental-features = [
          "nix-command"
          "flakes"
        ];
        # A full disk stops the plant: what can be freed is freed before that.
        min-free = mkDefault (512 * 1024 * 1024);
        max-free = mkDefault (2 * 1024 * 1024 * 1024);
      };
      gc = {
        automatic = true;
        dates = mkDefault "weekly";
        randomizedDelaySec = mkDefault "6h";
        options = "--delete-older-than ${toString cfg.keepDays}d";
      };
      # An appliance is built from a flake elsewhere.
      channel.enable = false;
    };

    boot.loader = {
      grub.configurationLimit = cfg.keepGenerations;
      generic-extlinux-compatible.configurationLimit = cfg.keepGenerations;
    };
  };
}
