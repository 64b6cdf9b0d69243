# Every unit starts from the one set, and each exception is on this list.
let
  lib = import ../../../lib { site = ../sites/single.toml; };
  base = import ../../../lib/hardening.nix;
  units = lib.lab.hosts.bench.units;
  differing =
    unit:
    builtins.filter (
      name: !(unit.serviceConfig ? ${name}) || unit.serviceConfig.${name} != base.${name}
    ) (builtins.attrNames base);
in
{
  "exceptions" = {
    actual = builtins.mapAttrs (_: differing) (removeAttrs units [ "deploy-guard" ]);
    expected = {
      # The JIT writes code, and the JVM sizes itself by /proc/meminfo.
      apache-kafka = [
        "MemoryDenyWriteExecute"
        "ProcSubset"
      ];
      gap-filler = [ ];
      # chown on its database and resources of its own.
      grafana = [ "SystemCallFilter" ];
      influxdb-provision = [ ];
      influxdb2 = [ ];
      influxdb2-restart = [ ];
      kafka-provision = [ ];
      ledger = [ ];
      opc-server = [ ];
      stream-model = [ ];
      telegraf = [ ];
      telegraf-restart = [ ];
    };
  };
  # Its child is a switch of the whole host; see lib/guard.nix.
  "the one unit without any" = {
    actual = differing units.deploy-guard;
    expected = builtins.attrNames base;
  };
  # What `systemd-analyze security` weighs most, by its own table (systemd 252).
  "what must be there" = {
    actual = {
      inherit (base)
        NoNewPrivileges
        ProtectSystem
        CapabilityBoundingSet
        PrivateDevices
        RestrictNamespaces
        UMask
        ;
    };
    expected = {
      NoNewPrivileges = true;
      ProtectSystem = "strict";
      CapabilityBoundingSet = "";
      PrivateDevices = true;
      RestrictNamespaces = true;
      UMask = "0077";
    };
  };
}
