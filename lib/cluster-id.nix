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
  alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  digits = {
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
  # The first digit is fixed: an id must not begin with "-", which command lines take for an option.
  # One digit of zeros after the 32 makes 33, eleven times three: three hex digits are two characters.
  hex = "4${substring 0 31 (hashString "sha256" "fieldline ${name}")}0";
  digit = i: digits.${substring i 1 hex};
  characters =
    i:
    let
      bits = digit (3 * i) * 256 + digit (3 * i + 1) * 16 + digit (3 * i + 2);
    in
    substring (bits / 64) 1 alphabet + substring (bits - bits / 64 * 64) 1 alphabet;
in
concatStringsSep "" (genList characters 11)
