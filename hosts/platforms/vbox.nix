# A VirtualBox machine: disk, boot loader and image are nixpkgs' own.
{
  config,
  lib,
  modulesPath,
  ...
}:
{
  imports = [ "${modulesPath}/virtualisation/virtualbox-image.nix" ];

  config = {
    nixpkgs.hostPlatform = "x86_64-linux";

    virtualbox = {
      # What the site says that the host has is what the machine gets, under a name that tells two apart.
      memorySize = config.fieldline.settings.memory;
      vmName = "fieldline ${config.fieldline.host}";
      vmDerivationName = "fieldline-${config.fieldline.host}-ova";
    };

    # The guest additions would set the clock by the PC's, beside NTP; shared folders and a clipboard are no
    # use to an appliance. Disk, network and screen need none of them.
    virtualisation.virtualbox.guest.enable = lib.mkForce false;
  };
}
