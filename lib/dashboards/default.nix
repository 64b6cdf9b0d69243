# Grafana's dashboards by file name, as sets that become JSON.
{ plant }:
{
  completeness = import ./completeness.nix { inherit plant; };
  sensors = import ./sensors.nix { inherit plant; };
}
