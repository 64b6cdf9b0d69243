# What the flake is made of, apart from its inputs: the package sets with our packages in them, the
# modules, and `mkPlant`.
{
  nixpkgs,
  sops-nix,
  nixos-generators,
}:
let
  inherit (nixpkgs) lib;
  overlay = import ./overlay.nix;
  # The machines that the appliances run on, and those of who administers them.
  systems = [
    "x86_64-linux"
    "aarch64-linux"
  ];
  pkgsFor = lib.genAttrs systems (
    system:
    import nixpkgs {
      inherit system;
      overlays = [ overlay ];
    }
  );
in
rec {
  inherit overlay;
  modules = [
    sops-nix.nixosModules.sops
    ../modules
  ];
  forAll = function: lib.mapAttrs (_: function) pkgsFor;
  machinesOf = arguments: import ../hosts ({ inherit lib modules overlay; } // arguments);
  mkPlant = import ./plant.nix {
    inherit lib forAll machinesOf;
    inherit (nixos-generators) nixosGenerate;
  };
}
