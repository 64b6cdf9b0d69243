# mkPlant: the outputs of a plant's flake.
#
#   nixosConfigurations."HOST@PLATFORM"      for nixos-rebuild and `fieldline deploy`
#   packages.SYSTEM."HOST@PLATFORM"          the image to import or to flash; SYSTEM is the machine's own
#   packages.SYSTEM.{fieldline,gap-filler,opc-server,stream-model}
#   checks, devShells, apps, formatter
{
  lib,
  forAll,
  machinesOf,
  nixosGenerate,
}:
{
  # The plant's `site.toml`, and the folder that `fieldline secrets init` has made beside it.
  site,
  secrets,
  # Lists of NixOS modules for what the site has no word for, such as hardware: for a host by its name,
  # for every host as `all`.
  extraModules ? { },
}:
let
  plant = machinesOf { inherit site secrets extraModules; };

  # What makes each platform's image, and on which system.
  generators = {
    vbox = {
      system = "x86_64-linux";
      format = "virtualbox";
    };
    raspberry = {
      system = "aarch64-linux";
      format = "sd-aarch64";
    };
  };

  image =
    { host, platform, ... }:
    nixosGenerate (generators.${platform} // { modules = plant.modulesOf host platform; });

  imagesFor =
    system:
    lib.listToAttrs (
      map (machine: lib.nameValuePair machine.name (image machine)) (
        lib.filter (machine: generators.${machine.platform}.system == system) plant.machines
      )
    );
in
{
  nixosConfigurations = plant.configurations;

  packages = forAll (
    pkgs:
    {
      fieldline = pkgs.fieldline-admin;
      inherit (pkgs) gap-filler opc-server stream-model;
    }
    // imagesFor pkgs.stdenv.hostPlatform.system
  );

  checks = forAll (pkgs: {
    site = pkgs.runCommand "site-check" { nativeBuildInputs = [ pkgs.fieldline ]; } ''
      fieldline site check ${site}
      touch "$out"
    '';
  });

  devShells = forAll (pkgs: {
    default = import ./shell.nix { inherit pkgs; };
  });
  apps = forAll (pkgs: import ./apps.nix { inherit lib pkgs; });
  formatter = forAll (pkgs: pkgs.nixfmt);
}
