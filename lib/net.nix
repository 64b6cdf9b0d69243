# Addresses: an address is its family (4 or 6) and its groups, 8 bits each or 16, since 128 bits
# are more than a Nix number holds.
let
  inherit (builtins)
    all
    elemAt
    filter
    foldl'
    genList
    isString
    length
    match
    split
    stringLength
    ;
  text = import ./text.nix;
  util = import ./util.nix;

  powers = genList (n: foldl' (power: _: power * 2) 1 (genList (_: null) n)) 17;

  # An address may be written in capitals too.
  hexDigits = util.hexDigits // {
    A = 10;
    B = 11;
    C = 12;
    D = 13;
    E = 14;
    F = 15;
  };
  hex =
    group:
    foldl' (sum: n: sum * 16 + hexDigits.${builtins.substring n 1 group}) 0 (
      genList (n: n) (stringLength group)
    );

  parse4 =
    address:
    let
      octet = "(0|[1-9][0-9]{0,2})";
      octets = match "${octet}\\.${octet}\\.${octet}\\.${octet}" address;
      groups = map text.toInt octets;
    in
    if octets != null && all (group: group <= 255) groups then
      {
        family = 4;
        inherit groups;
      }
    else
      null;

  # The groups of one side of "::"; null if one of them is none.
  side =
    part:
    if part == "" then
      [ ]
    else
      let
        groups = filter isString (split ":" part);
      in
      if all (group: match "[0-9A-Fa-f]{1,4}" group != null) groups then map hex groups else null;

  parse6 =
    address:
    let
      sides = filter isString (split "::" address);
      high = side (elemAt sides 0);
      low = side (elemAt sides 1);
      missing = 8 - length high - length low;
    in
    if length sides == 1 then
      if high != null && length high == 8 then
        {
          family = 6;
          groups = high;
        }
      else
        null
    else if length sides == 2 && high != null && low != null && missing >= 1 then
      {
        family = 6;
        groups = high ++ genList (_: 0) missing ++ low;
      }
    else
      null;
in
rec {
  # The address that a text is, or null.
  parse =
    address:
    if stringLength address > 39 then
      null
    else if match "[0-9.]+" address != null then
      parse4 address
    else if match "[0-9A-Fa-f:]+" address != null then
      parse6 address
    else
      null;

  # Each group with the size of the part of it that is behind the prefix.
  rests =
    prefix: address:
    let
      width = if address.family == 4 then 8 else 16;
    in
    genList (
      n:
      let
        bits = prefix - n * width;
      in
      {
        group = elemAt address.groups n;
        size = elemAt powers (
          if bits <= 0 then
            width
          else if bits >= width then
            0
          else
            width - bits
        );
      }
    ) (length address.groups);

  # Whether `address` is in the network of `member`.
  contains =
    member: prefix: address:
    address.family == member.family
    &&
      map (rest: rest.group / rest.size) (rests prefix address)
      == map (rest: rest.group / rest.size) (rests prefix member);

  # Whether `address` is the network's own, or in IPv4 its broadcast.
  reserves =
    prefix: address:
    let
      behind = map (rest: {
        inherit (rest) size;
        value = rest.group - rest.group / rest.size * rest.size;
      }) (rests prefix address);
    in
    all (rest: rest.value == 0) behind
    || (address.family == 4 && all (rest: rest.value == rest.size - 1) behind);

  # An address in a URL: IPv6 in brackets.
  inUrl = address: if match ".*:.*" address != null then "[${address}]" else address;
}
