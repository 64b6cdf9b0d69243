# How patient a host's connections are with a network that is gone for a while.
{
  # TCP doubles the time until it sends again what nobody has confirmed, up to two minutes: after a cut of
  # 30 s it is silent for another 20. On a plant's network a packet each 3 s burdens nobody.
  "net.ipv4.tcp_rto_max_ms" = 3000;
  # How often, before the connection counts as broken; the default of 15 would be 40 s now, this is 2 min.
  "net.ipv4.tcp_retries2" = 40;
}
