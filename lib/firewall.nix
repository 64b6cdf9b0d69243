# The firewall of a host as data and as an nftables ruleset, for `nft -f` (nft 1.0.6 and later). Both
# families in one table. What is not listed is dropped; what a host itself begins is let through.
{ plant, rules }:
let
  inherit (builtins) concatStringsSep filter toString;
  inherit (plant.util) optional;

  isIpv6 = address: builtins.match ".*:.*" address != null;
  set = list: "{ ${concatStringsSep ", " list} }";

  rule =
    entry:
    let
      port = "${entry.protocol} dport ${toString entry.port} accept comment \"${entry.purpose}\"";
      ipv4 = filter (address: !isIpv6 address) entry.sources;
      ipv6 = filter isIpv6 entry.sources;
    in
    if entry.sources == null then
      [ port ]
    else
      optional (ipv4 != [ ]) "ip saddr ${set ipv4} ${port}"
      ++ optional (ipv6 != [ ]) "ip6 saddr ${set ipv6} ${port}";

  unreachable = [
    "destination-unreachable"
    "time-exceeded"
    "parameter-problem"
  ];
  neighbours = [
    "nd-router-advert"
    "nd-neighbor-solicit"
    "nd-neighbor-advert"
    "mld-listener-query"
  ];

  body = [
    "iifname \"lo\" accept"
    "ct state vmap { established : accept, related : accept, invalid : drop }"
    # Path MTU discovery, unreachable hosts, ping: without them connections hang instead of failing.
    "icmp type ${set (unreachable ++ [ "echo-request" ])} accept"
    # The same, and neighbour discovery, which is IPv6's ARP.
    "icmpv6 type ${
      set (
        unreachable
        ++ [
          "packet-too-big"
          "echo-request"
        ]
        ++ neighbours
      )
    } accept"
  ]
  ++ builtins.concatMap rule rules;
in
''
  table inet fieldline
  delete table inet fieldline
  table inet fieldline {
    chain input {
      type filter hook input priority filter; policy drop;
      ${concatStringsSep "\n    " body}
    }

    chain forward {
      type filter hook forward priority filter; policy drop;
    }
  }
''
