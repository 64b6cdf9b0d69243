# The third-party servers as the appliances have them; the lab uses what it finds on PATH below /nix/store.
{ pkgs }:
[
  pkgs.apacheKafka_4_1
  pkgs.grafana
  pkgs.influxdb2-server
  pkgs.mosquitto
  pkgs.sops
  pkgs.telegraf
]
