{
  description = "Fieldline: declarative industrial telemetry";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";
    sops-nix = {
      url = "github:Mic92/sops-nix";
      inputs.nixpkgs.follows = "nixpkgs";
    };
    nixos-generators = {
      url = "github:nix-community/nixos-generators";
      inputs.nixpkgs.follows = "nixpkgs";
      inputs.nixlib.follows = "nixpkgs";
    };
  };

  outputs =
    {
      self,
      nixpkgs,
      sops-nix,
      nixos-generators,
    }:
    let
      fieldline = import ./flake { inherit nixpkgs sops-nix nixos-generators; };
      demonstration = {
        site = ./site.toml;
        secrets = ./secrets;
      };
      # The demonstration plant is a plant like any other.
      plant = fieldline.mkPlant demonstration;
    in
    plant
    // {
      lib = {
        inherit (fieldline) mkPlant;
        # docs/options.md
        optionsReference = import ./flake/options.nix {
          inherit (nixpkgs) lib;
          inherit (plant.nixosConfigurations."db@vbox") options;
        };
      };
      overlays.default = fieldline.overlay;
      nixosModules.default.imports = fieldline.modules;
      checks = fieldline.forAll (
        pkgs:
        plant.checks.${pkgs.stdenv.hostPlatform.system}
        // import ./flake/checks.nix {
          inherit (nixpkgs) lib;
          inherit pkgs;
          source = self;
          machines = fieldline.machinesOf demonstration;
        }
      );
      templates = rec {
        plant = {
          path = ./templates/plant;
          description = "A plant of your own, without a fork of Fieldline";
        };
        default = plant;
      };
    };
}
