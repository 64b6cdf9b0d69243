# The forms of values. A form is a function of a key and a value that gives the list of mistakes;
# it looks at the type first, then at the form, then at the bounds.
let
  inherit (builtins)
    attrNames
    concatLists
    concatMap
    elem
    elemAt
    genList
    hasAttr
    isAttrs
    isBool
    isFloat
    isInt
    isList
    isString
    length
    listToAttrs
    match
    toString
    ;
  texts = import ../text.nix;
  inherit (texts)
    item
    matches
    shown
    under
    ;
in
rec {
  mistake = key: code: problem: remedy: {
    inherit
      key
      code
      problem
      remedy
      ;
  };

  wrongType =
    key: value: remedy:
    let
      kind =
        if isString value then
          "a text"
        else if isInt value then
          "an integer"
        else if isFloat value then
          "a float"
        else if isBool value then
          "a boolean"
        else if isList value then
          "a list"
        else
          "a table";
    in
    [ (mistake key "wrong-type" "is ${kind}" "write ${remedy}") ];

  badValue = key: value: remedy: [
    (mistake key "bad-value" "${shown value} is not allowed" "write ${remedy}")
  ];
  outOfRange = key: value: remedy: [
    (mistake key "out-of-range" "${shown value} is out of range" "write ${remedy}")
  ];

  anything = _key: _value: [ ];

  # A text for which `holds`.
  text =
    remedy: holds: key: value:
    if !isString value then
      wrongType key value remedy
    else if !holds value then
      badValue key value remedy
    else
      [ ];

  pattern =
    atMost: regex: remedy:
    text remedy (matches atMost regex);

  word = words: text "one of ${builtins.concatStringsSep ", " words}" (value: elem value words);

  whole =
    low: high: key: value:
    let
      remedy = "a whole number from ${toString low} to ${toString high}";
    in
    if !isInt value then
      wrongType key value remedy
    else if value < low || value > high then
      outOfRange key value remedy
    else
      [ ];

  # "Not a number" is neither below nor equal to anything; Nix makes `>=` of the contrary of `<`.
  within =
    low: high: value:
    (low < value || low == value) && (value < high || value == high);

  number =
    {
      low ? -1.0e15,
      high ? 1.0e15,
      zero ? true,
    }:
    remedy: key: value:
    if !isInt value && !isFloat value then
      wrongType key value remedy
    else if !within low high value || (!zero && value == 0) then
      outOfRange key value remedy
    else
      [ ];

  boolean = key: value: if isBool value then [ ] else wrongType key value "true or false";

  milliseconds =
    duration:
    let
      parts = match "([0-9]{1,9})(ms|s|min|h|d)" duration;
      unit =
        {
          ms = 1;
          s = 1000;
          min = 60000;
          h = 3600000;
          d = 86400000;
        }
        .${elemAt parts 1};
    in
    texts.toInt (elemAt parts 0) * unit;

  # `low` and `high` are durations too.
  duration =
    low: high: key: value:
    let
      resolved = milliseconds value;
      remedy = "a duration such as \"200ms\", from ${low} to ${high}";
    in
    if !isString value then
      wrongType key value remedy
    else if !matches 12 "[0-9]{1,9}(ms|s|min|h|d)" value then
      badValue key value remedy
    else if resolved < milliseconds low || resolved > milliseconds high then
      outOfRange key value remedy
    else
      [ ];

  imap = function: list: genList (n: function n (elemAt list n)) (length list);

  # A list, not empty.
  list =
    {
      atMost ? 1000000000,
      repeats ? true,
    }:
    form: key: value:
    let
      items = concatLists (imap (n: form (item key n)) value);
      distinct = attrNames (
        listToAttrs (
          map (name: {
            inherit name;
            value = null;
          }) value
        )
      );
    in
    if !isList value then
      wrongType key value "a list"
    else if value == [ ] then
      [ (mistake key "empty" "is empty" "declare at least one") ]
    else if length value > atMost then
      [
        (mistake key "out-of-range" "has ${toString (length value)} items"
          "at most ${toString atMost} are allowed"
        )
      ]
    else if items != [ ] then
      items
    else if !repeats && length distinct != length value then
      [ (mistake key "duplicate" "has an item twice" "write each item once") ]
    else
      [ ];

  # A closed table.
  table =
    {
      required ? { },
      optional ? { },
    }:
    key: value:
    let
      forms = optional // required;
      known = builtins.concatStringsSep ", " (attrNames forms);
      missing = concatMap (
        name:
        if hasAttr name value then
          [ ]
        else
          [ (mistake (under key name) "missing-key" "is missing" "add it") ]
      ) (attrNames required);
      present = concatMap (
        name:
        if hasAttr name forms then
          forms.${name} (under key name) value.${name}
        else
          [ (mistake (under key name) "unknown-key" "is not known here" "known are ${known}") ]
      ) (attrNames value);
    in
    if isAttrs value then missing ++ present else wrongType key value "a table";

  # A table of names that the site chooses.
  named =
    {
      empty ? true,
    }:
    nameForm: form: key: value:
    if !isAttrs value then
      wrongType key value "a table"
    else if !empty && value == { } then
      [ (mistake key "empty" "is empty" "declare at least one") ]
    else
      concatMap (name: nameForm (under key name) name ++ form (under key name) value.${name}) (
        attrNames value
      );

  both =
    first: second: key: value:
    first key value ++ second key value;
}
