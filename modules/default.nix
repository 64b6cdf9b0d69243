# All modules, in the order of who knows whom: a file reads only options of those above it.
{
  imports = [
    ./site.nix
    ./release.nix
    ./secrets.nix
    ./base.nix
    ./network.nix
    ./ssh.nix
    ./store.nix
    ./units.nix
    ./restarter.nix
    ./opc-server.nix
    ./apache-kafka.nix
    ./stream-model.nix
    ./influxdb2.nix
    ./ledger.nix
    ./telegraf.nix
    ./gap-filler.nix
    ./grafana.nix
  ];
}
