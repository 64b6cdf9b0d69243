# A flake that takes Fieldline's modules and nothing else of it. The test puts it beside a site.
{
  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";
    fieldline.url = "github:fieldline/fieldline";
  };

  outputs =
    { nixpkgs, fieldline, ... }:
    {
      nixosConfigurations.mine = nixpkgs.lib.nixosSystem {
        modules = [
          fieldline.nixosModules.default
          {
            nixpkgs = {
              hostPlatform = "x86_64-linux";
              overlays = [ fieldline.overlays.default ];
            };
            fieldline = {
              site = ./site.toml;
              secrets.folder = ./secrets;
              host = "database";
              platform = "vbox";
            };
            fileSystems."/" = {
              device = "/dev/sda1";
              fsType = "ext4";
            };
            boot.loader.grub.device = "/dev/sda";
          }
        ];
      };
    };
}
