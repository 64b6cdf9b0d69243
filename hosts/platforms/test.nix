# A VM of the NixOS test driver with the address that the site declares, and no other.
{ config, ... }:
{
  config = {
    virtualisation = {
      # Without these the driver gives each node an address of its own, and all names lead there.
      vlans = [ ];
      interfaces.eth1 = {
        vlan = 1;
        assignIP = false;
      };
      memorySize = config.fieldline.settings.memory;
      cores = 2;
      diskSize = 8192;
    };

    fieldline.devices = [ "eth1" ];
    # There is none, and no test waits for one.
    fieldline.machine.watchdogSeconds = null;

    # Time comes from the VM's host, and no NTP server is there to say so: opc-server is told that it is
    # synchronised as systemd-timesyncd would tell it.
    systemd.tmpfiles.rules = [ "f /run/systemd/timesync/synchronized" ];
  };
}
