# Grafana's dashboards by file name, as sets that become JSON.
{ plant }:
{
  sensors = import ./sensors.nix { inherit plant; };
}
