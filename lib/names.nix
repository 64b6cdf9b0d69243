# Asset names: one name, or many by a range such as `press{001..120}`.
let
  inherit (builtins)
    elemAt
    genList
    match
    stringLength
    substring
    toString
    ;
  text = import ./text.nix;
in
rec {
  most = 100000;

  # What a text of names says, or null if it has not the form.
  parse =
    names:
    let
      part = "[A-Za-z0-9_-]*";
      parts = match "(${part})([{]([0-9]{1,6})\\.\\.([0-9]{1,6})[}](${part}))?" names;
      at = elemAt parts;
      first = text.toInt (at 2);
    in
    if parts == null then
      null
    else if at 1 == null then
      {
        prefix = at 0;
        suffix = "";
        ranged = false;
        count = 1;
        width = 0;
      }
    else
      {
        prefix = at 0;
        suffix = at 4;
        ranged = true;
        inherit first;
        count = text.toInt (at 3) - first + 1;
        width = if substring 0 1 (at 2) == "0" then stringLength (at 2) else 0;
      };

  # Whether all the names are valid.
  valid =
    read:
    let
      digits = stringLength (toString (read.first + read.count - 1));
      number =
        if !read.ranged then
          0
        else if digits > read.width then
          digits
        else
          read.width;
    in
    match "[A-Za-z]" (substring 0 1 read.prefix) != null
    && stringLength read.prefix + number + stringLength read.suffix <= 64;

  # The list of names.
  expand =
    names:
    let
      read = parse names;
    in
    if !read.ranged then
      [ names ]
    else
      genList (n: read.prefix + text.padded read.width (read.first + n) + read.suffix) read.count;
}
