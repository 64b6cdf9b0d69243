# Reads a site from its text: `mistakes` of the first stage that has some, and `site` if there are none.
text:
let
  inherit (builtins)
    attrValues
    fromJSON
    fromTOML
    hasAttr
    isInt
    listToAttrs
    replaceStrings
    stringLength
    toJSON
    ;
  inherit (import ./check/forms.nix) mistake;

  unreadable = problem: throw "site.toml: unreadable: ${problem}";

  raw =
    if stringLength text > 4 * 1024 * 1024 then
      unreadable "is larger than 4 MiB; name many assets by a range"
    # Nix would cut a text off at a NUL.
    else if replaceStrings [ "\\u0000" "\\U00000000" ] [ "" "" ] text != text then
      unreadable "holds a NUL character; remove it"
    # Only `fromJSON` looks at the encoding everywhere.
    else if fromJSON (toJSON text) != text then
      unreadable "is not UTF-8"
    else
      fromTOML text;

  otherSchema = hasAttr "schema" raw && isInt raw.schema && raw.schema != 1;
  shape = import ./check/shape.nix raw;

  filled = import ./fill.nix raw;
  assets = import ./assets.nix filled;
  references = import ./check/references.nix filled { inherit raw assets; };

  found =
    if otherSchema then
      [
        (mistake "schema" "schema" "is not 1"
          "use the Fieldline that wrote the site, or follow docs/site.md"
        )
      ]
    else if shape != [ ] then
      shape
    else
      references;
in
rec {
  # Each key and code once, by key.
  mistakes = attrValues (
    listToAttrs (
      map (value: {
        name = "${value.key} ${value.code}";
        inherit value;
      }) found
    )
  );

  site =
    builtins.removeAttrs filled [
      "entries"
      "hasSource"
      "collectors"
    ]
    // {
      collection = { inherit (filled.collection) outage_ms publishing_interval_ms; };
      topics = builtins.mapAttrs (_: topic: builtins.removeAttrs topic [ "name" ]) filled.topics;
      inherit (assets) collectors;
      assets = assets.list;
    };
}
