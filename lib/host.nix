# Everything of one host: the parts that its roles need, put together.
{ plant, dashboards }:
host:
let
  inherit (builtins)
    attrValues
    concatLists
    concatMap
    match
    ;
  inherit (plant) util;

  arguments = { inherit plant host; };
  parts = [
    (import ./services.nix arguments)
    (import ./telegraf arguments)
    (import ./gap-filler.nix arguments)
    (import ./kafka.nix arguments)
    (import ./influxdb.nix arguments)
    (import ./grafana.nix (arguments // { inherit dashboards; }))
    (import ./guard.nix)
  ];
  merged = name: util.disjoint name (map (part: part.${name} or { }) parts);

  units = merged "units";
  ssh = import ./ssh.nix { inherit plant; };

  firewall =
    map
      (
        {
          protocol ? "tcp",
          ...
        }@rule:
        rule // { inherit protocol; }
      )
      (
        [
          {
            port = 22;
            sources = null;
            purpose = "ssh";
          }
        ]
        ++ concatLists (map (part: part.firewall or [ ]) parts)
      );

  secretOf =
    path:
    let
      name = match "/run/secrets/(.*)" path;
    in
    if name == null then [ ] else name;
in
{
  inherit (host)
    name
    address
    roles
    platforms
    memory
    ;
  inherit (plant.site.network) prefix;
  inherit (ssh) admins sshd;
  files = merged "files";
  inherit units;
  paths = merged "paths";
  users = merged "users";
  inherit firewall;
  sysctl = import ./sysctl.nix;
  nftables = import ./firewall.nix {
    inherit plant;
    rules = firewall;
  };
  # What must be under /run/secrets on this host: what its units load, and the hash of the console's
  # password, the same on every host. No unit loads that one; NixOS itself gives it to root.
  secrets = util.unique (
    [ "console-password-hash" ]
    ++ concatMap (unit: concatMap secretOf (attrValues unit.credentials)) (attrValues units)
  );
}
