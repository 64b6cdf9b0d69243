# Turns each host that the site declares, on each platform that it is declared for, into a NixOS
# configuration `HOST@PLATFORM`. What the site has no word for, such as one machine's hardware, a plant gives as
# `extraModules`.
{
  lib,
  site,
  secrets,
  # What every machine starts from.
  modules,
  # Where our packages are: not for test VMs, whose package set is given and read-only.
  overlay,
  # Lists of modules by host name, and `all`.
  extraModules ? { },
}:
let
  inherit (import ../lib { inherit site; }) hosts;

  unknown = lib.subtractLists ([ "all" ] ++ lib.attrNames hosts) (lib.attrNames extraModules);
in
rec {
  names =
    if unknown == [ ] then
      lib.attrNames hosts
    else
      throw "extraModules.${lib.head unknown}: the site declares no such host; write one of all, ${lib.concatStringsSep ", " (lib.attrNames hosts)}";

  # The modules of a host on a platform: `raspberry`, `vbox`, or `test` for the VMs of a test.
  modulesOf =
    name: platform:
    modules
    ++ [
      (./platforms + "/${platform}.nix")
      {
        fieldline = {
          inherit site platform;
          host = name;
          secrets.folder = lib.mkDefault secrets;
        };
      }
    ]
    ++ extraModules.all or [ ]
    ++ extraModules.${name} or [ ]
    ++ lib.optional (platform != "test") { nixpkgs.overlays = [ overlay ]; };

  # [ { name = "collector@vbox"; host = "collector"; platform = "vbox"; } … ]
  machines = lib.concatMap (
    host:
    map (platform: {
      name = "${host}@${platform}";
      inherit host platform;
    }) hosts.${host}.platforms
  ) names;

  configurations = lib.listToAttrs (
    map (machine: {
      inherit (machine) name;
      value = lib.nixosSystem { modules = modulesOf machine.host machine.platform; };
    }) machines
  );
}
