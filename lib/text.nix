# Texts: numbers in them, and names as docs/site.md writes them in keys and messages.
let
  inherit (builtins)
    fromJSON
    genList
    head
    isList
    match
    replaceStrings
    stringLength
    substring
    toString
    ;

  # Every control character but NUL, which no Nix string can hold.
  control = genList (
    n:
    fromJSON ''"\u00${substring (n / 16) 1 "01"}${substring (n - n / 16 * 16) 1 "0123456789abcdef"}"''
  ) 32;
  controls = (builtins.tail control) ++ [ (fromJSON ''"\u007f"'') ];
in
rec {
  # std::regex, behind `match`, uses the stack for each character: long texts are never matched.
  matches =
    atMost: pattern: text:
    stringLength text <= atMost && match pattern text != null;

  # A text of digits as a number; `fromJSON` refuses leading zeros.
  toInt = digits: fromJSON (head (match "0*([0-9]+)" digits));

  # A number filled up with zeros to `width`.
  padded =
    width: number:
    let
      text = toString number;
      missing = width - stringLength text;
    in
    if missing > 0 then substring 0 missing "000000" + text else text;

  oneLine = replaceStrings controls (map (_: "?") controls);

  quoted = text: ''"${oneLine (replaceStrings [ "\\" "\"" ] [ "\\\\" "\\\"" ] text)}"'';

  # A name in a key: quoted if it is more than letters, digits, `_` and `-`.
  part = name: if matches 255 "[A-Za-z0-9_-]+" name then name else quoted name;

  # The key of a name in a table, and of an item in a list.
  under = key: name: if key == "" then part name else "${key}.${part name}";
  item = key: index: "${key}[${toString index}]";

  # A value in a message; a long or nested one is not repeated.
  shown =
    value:
    if builtins.isString value then
      if stringLength value <= 60 then quoted value else "this text"
    else if builtins.isAttrs value then
      "a table"
    else if isList value then
      "a list"
    else if builtins.isBool value then
      if value then "true" else "false"
    else
      toString value;
}
