{
  description = "A plant on Fieldline";

  # Where you have Fieldline from; `nix flake update` upgrades it.
  inputs.fieldline.url = "github:fieldline/fieldline";

  outputs =
    { fieldline, ... }:
    fieldline.lib.mkPlant {
      site = ./site.toml;
      secrets = ./secrets;
      # What the site has no word for, such as hardware, as lists of NixOS modules by host, or for `all`:
      # extraModules.database = [ ./database.nix ];
    };
}
