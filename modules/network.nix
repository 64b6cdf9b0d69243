# The host's address and its firewall, both as the site has them and as the lab runs them.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.fieldline;
  inherit (cfg) network settings;
  firewall = config.networking.firewall;
in
{
  options.fieldline.devices = mkOption {
    type = types.nonEmptyListOf (types.strMatching "[a-z*][a-z0-9*]{0,14}");
    default = [ network.device ];
    defaultText = lib.literalMD "`network.device` of the site";
    description = "Names of the network device that gets the host's address; a platform may know others.";
    example = [
      "end0"
      "eth0"
    ];
  };

  config = {
    assertions = [
      {
        assertion =
          firewall.allowedTCPPorts == [ ]
          && firewall.allowedUDPPorts == [ ]
          && firewall.allowedTCPPortRanges == [ ]
          && firewall.allowedUDPPortRanges == [ ]
          && lib.all (interface: interface.allowedTCPPorts == [ ] && interface.allowedUDPPorts == [ ]) (
            lib.attrValues firewall.interfaces
          );
        message = "networking.firewall: ports opened there (${
          toString (firewall.allowedTCPPorts ++ firewall.allowedUDPPorts)
        }) would stay shut, since a host's openings follow from the site; remove them, and add a rule of your own as networking.nftables.tables";
      }
    ];

    networking = {
      # `opc`, never `opc@vbox`: it is part of what clients and logs see.
      hostName = cfg.host;
      useNetworkd = true;
      useDHCP = false;
      inherit (network) nameservers;
      # Each host knows the others without asking anybody.
      hosts = lib.mapAttrs' (name: address: lib.nameValuePair address [ name ]) network.addresses;

      # One ruleset, the one that the lab loads; NixOS' own would be a second opinion.
      firewall.enable = false;
      nftables = {
        enable = true;
        ruleset = settings.nftables;
      };
    };

    boot.kernel.sysctl = settings.sysctl;

    systemd.network.networks."10-plant" = {
      matchConfig.Name = lib.concatStringsSep " " cfg.devices;
      address = [ "${settings.address}/${toString settings.prefix}" ];
      gateway = [ network.gateway ];
      networkConfig = {
        # The declared address and no other: nothing on the network assigns one.
        DHCP = "no";
        IPv6AcceptRA = false;
        LinkLocalAddressing = if network.family == 6 then "ipv6" else "no";
      };
      linkConfig.RequiredForOnline = "routable";
    };
  };
}
