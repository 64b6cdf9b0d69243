# The words of a site: names, addresses, node ids. Which value may have which is in shape.nix.
let
  inherit (builtins)
    elem
    elemAt
    match
    replaceStrings
    stringLength
    ;
  inherit (import ./forms.nix) pattern text;
  inherit (import ../text.nix) matches toInt;
  net = import ../net.nix;

  plain = replaceStrings [ "{asset}" "{variable}" ] [ "A" "A" ];
  noParent = value: match ".*\\.\\..*" value == null;

  short = "[a-z]([a-z0-9-]*[a-z0-9])?";
  long = "[A-Za-z][A-Za-z0-9_-]*";

  # A host's name becomes a Python name in test scripts.
  notHosts = [
    "localhost"
    "and"
    "as"
    "assert"
    "async"
    "await"
    "break"
    "class"
    "continue"
    "def"
    "del"
    "elif"
    "else"
    "except"
    "finally"
    "for"
    "from"
    "global"
    "if"
    "import"
    "in"
    "is"
    "lambda"
    "nonlocal"
    "not"
    "or"
    "pass"
    "raise"
    "return"
    "try"
    "while"
    "with"
    "yield"
  ];
  hostName = text "a host name such as \"db\", and no word of Python" (
    value: matches 32 short value && !elem value notHosts
  );
  # Users that a host has anyway: nobody logs in as a service, or as root under another key.
  notAdmins = [
    "apache-kafka"
    "grafana"
    "influxdb2"
    "messagebus"
    "nobody"
    "root"
    "sshd"
    "telegraf"
  ];
  adminName = text "a name of small letters, digits and \"-\", and no user that a host has anyway" (
    value: matches 32 short value && !elem value notAdmins
  );
  shortName = pattern 32 short "a name of small letters, digits and \"-\"";
  name = pattern 64 long "a name of letters, digits, \"_\" and \"-\"";
  variableName =
    text "a name of letters, digits, \"_\" and \"-\", and none of Quality, time, DataType"
      (
        value:
        matches 64 long value
        && !elem value [
          "Quality"
          "time"
          "DataType"
        ]
      );
  topicName =
    text
      "a name of small letters, digits, \".\" and \"-\", not ending in \".dead-letter\", \".changelog\", \".ledger\" or \".refill\""
      (
        value:
        matches 100 "[a-z][a-z0-9.-]*" value
        && match ".*\\.(dead-letter|changelog|ledger|refill)" value == null
      );
  unit = pattern 24 "[^[:cntrl:]\"\\$`{}',=]*" "at most 24 bytes, without quotes, braces and commas";
  isAddress = value: net.parse value != null;
  address = text "an IPv4 or IPv6 address" isAddress;
  timeServer = text "a host name or an address" (
    value: isAddress value || matches 253 "[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?" value
  );
  publicKey =
    pattern 4096
      "(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp256|sk-ssh-ed25519@openssh\\.com) [A-Za-z0-9+/=]{16,}( [^[:cntrl:]]*)?"
      "a public key such as \"ssh-ed25519 AAAA... anna\"";

  endpoint = text "an endpoint such as \"opc.tcp://192.168.0.20:4840/path\"" (
    value:
    let
      host = "([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\\[([0-9A-Fa-f:]{2,39})[]])";
      parts = match "opc\\.tcp://${host}(:([0-9]{1,5}))?(/[A-Za-z0-9._~/-]*)?" value;
      inside = elemAt parts 2;
      number = elemAt parts 4;
    in
    stringLength value <= 255
    && parts != null
    && (inside == null || isAddress inside)
    && (number == null || (toInt number >= 1 && toInt number <= 65535))
  );

  node = text "a node such as \"i=2\", \"ns=3;s={asset}.{variable}\" or \"g=\" and a GUID" (
    value:
    let
      parts = match "(ns=([0-9]{1,5});)?([igs])=(.*)" value;
      namespace = elemAt parts 1;
      identifier = elemAt parts 3;
      hex = n: "[0-9A-Fa-f]{${n}}";
    in
    stringLength value <= 220
    && parts != null
    && (namespace == null || toInt namespace <= 65535)
    && {
      i = matches 10 "[0-9]+" identifier && toInt identifier <= 4294967295;
      s = stringLength identifier <= 200 && match "[]!#%-[^_a-z|~]+" (plain identifier) != null;
      g = matches 36 "${hex "8"}-${hex "4"}-${hex "4"}-${hex "4"}-${hex "12"}" identifier;
    }
    .${elemAt parts 2}
  );
in
{
  inherit
    address
    endpoint
    adminName
    hostName
    long
    name
    node
    noParent
    plain
    publicKey
    shortName
    timeServer
    topicName
    unit
    variableName
    ;
}
