# Small functions that builtins lack. No floats anywhere: every division is of integers.
let
  inherit (builtins)
    attrNames
    concatLists
    elemAt
    genList
    isAttrs
    length
    listToAttrs
    mapAttrs
    ;
in
rec {
  hexDigits = {
    "0" = 0;
    "1" = 1;
    "2" = 2;
    "3" = 3;
    "4" = 4;
    "5" = 5;
    "6" = 6;
    "7" = 7;
    "8" = 8;
    "9" = 9;
    a = 10;
    b = 11;
    c = 12;
    d = 13;
    e = 14;
    f = 15;
  };

  ceilDiv = a: b: (a + b - 1) / b;
  max = a: b: if a > b then a else b;
  min = a: b: if a < b then a else b;
  clamp =
    low: high: value:
    max low (min high value);

  # [ [ first n ] [ next n ] … ], the last one shorter.
  chunks =
    n: list:
    genList (i: genList (j: elemAt list (i * n + j)) (min n (length list - i * n))) (
      ceilDiv (length list) n
    );

  unique =
    list:
    attrNames (
      listToAttrs (
        map (name: {
          inherit name;
          value = null;
        }) list
      )
    );

  # `over` laid over `base`: tables are merged key by key, everything else (a list too) is replaced.
  # This is what a host's `settings` in the site mean.
  overlay =
    base: over:
    if isAttrs base && isAttrs over then
      base // mapAttrs (name: value: if base ? ${name} then overlay base.${name} value else value) over
    else
      over;

  optional = condition: value: if condition then [ value ] else [ ];
  optionals = condition: list: if condition then list else [ ];
  optionalAttrs = condition: set: if condition then set else { };

  mapToList = f: set: map (name: f name set.${name}) (attrNames set);

  # One set of several; a name in two of them is a mistake of ours, never the later one's right.
  disjoint =
    what: sets:
    let
      names = concatLists (map attrNames sets);
      merged = builtins.foldl' (all: set: all // set) { } sets;
    in
    if length names == length (attrNames merged) then
      merged
    else
      throw "lib: two parts define the same ${what}: ${builtins.toString names}";
}
