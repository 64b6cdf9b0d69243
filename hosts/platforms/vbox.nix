# A VirtualBox machine: disk, boot loader and image are nixpkgs' own.
{ config, modulesPath, ... }:
{
  imports = [ "${modulesPath}/virtualisation/virtualbox-image.nix" ];

  config = {
    nixpkgs.hostPlatform = "x86_64-linux";

    # What the site says that the host has is what the machine gets.
    virtualbox.memorySize = config.fieldline.settings.memory;
  };
}
