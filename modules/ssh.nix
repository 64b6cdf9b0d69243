# The way in: ssh, for the site's administrators and by key.
{ config, lib, ... }:
let
  inherit (config.fieldline) settings;
in
{
  config.services.openssh = {
    enable = true;
    # The site's firewall has its port open.
    openFirewall = false;
    # Who may log in is in the site, not in a file that somebody once wrote into a home.
    authorizedKeysInHomedir = false;
    settings = lib.mapAttrs (_: lib.mkOverride 90) settings.sshd;
    hostKeys = [
      {
        path = "/etc/ssh/ssh_host_ed25519_key";
        type = "ed25519";
      }
    ];
  };
}
