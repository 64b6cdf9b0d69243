# Kafka's cluster id: 16 bytes as 22 characters of base64url, here from a hash of a name, so that a
# rebuilt host has the same one. Kafka only compares it, it is no secret.
name:
let
  inherit (builtins)
    concatStringsSep
    genList
    hashString
    substring
    ;
  inherit (import ./util.nix) hexDigits;
  alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  # The first digit is fixed: an id must not begin with "-", which command lines take for an option.
  # One digit of zeros after the 32 makes 33, eleven times three: three hex digits are two characters.
  hex = "4${substring 0 31 (hashString "sha256" "fieldline ${name}")}0";
  digit = i: hexDigits.${substring i 1 hex};
  characters =
    i:
    let
      bits = digit (3 * i) * 256 + digit (3 * i + 1) * 16 + digit (3 * i + 2);
    in
    substring (bits / 64) 1 alphabet + substring (bits - bits / 64 * 64) 1 alphabet;
in
concatStringsSep "" (genList characters 11)
