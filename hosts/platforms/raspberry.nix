# A Raspberry Pi 3 or 4 with its system on an SD card, and a card that is to last for years.
{
  config,
  lib,
  modulesPath,
  ...
}:
let
  inherit (config.fieldline) host settings;
  # They write all day, and a card is the only copy of what they keep.
  refused = lib.intersectLists settings.roles [
    "kafka"
    "influxdb"
    "writer"
    "grafana"
  ];
in
{
  imports = [ "${modulesPath}/installer/sd-card/sd-image-aarch64.nix" ];

  config = {
    assertions = [
      {
        assertion = refused == [ ];
        message = "hosts.${host}.platforms: raspberry cannot carry the role ${lib.concatStringsSep ", " refused}, whose data would wear its card out and be lost with it; give the role to a host of platform vbox";
      }
    ];

    nixpkgs.hostPlatform = "aarch64-linux";

    # The board's own port: `end0` as systemd names a Pi 4's by the device tree, `eth0` as the kernel does; a
    # Pi 3's hangs on USB.
    fieldline.devices = [
      "end0"
      "eth0"
      "enu1u1*"
      "enx*"
    ];

    # bcm2835_wdt counts to 15 s at most.
    fieldline.machine.watchdogSeconds = 10;

    # Flash wears by being written: no access times, no swap, logs and temporary files in memory. What
    # the OPC UA server records is data, and goes to the card.
    fileSystems."/".options = [ "noatime" ];
    swapDevices = lib.mkForce [ ];
    boot.tmp.useTmpfs = true;
    fieldline.base = {
      journalInMemory = true;
      journalSize = "64M";
    };
    # Fewer generations and an earlier clean-up: a card is small.
    fieldline.store = {
      keepDays = 14;
      keepGenerations = 4;
    };

    # The image's module brings file systems of an installer; none of them is ever mounted here.
    boot.supportedFilesystems = lib.mkForce [
      "vfat"
      "ext4"
    ];

    sdImage.compressImage = true;
  };
}
