{
  lib,
  writeShellApplication,
  fieldline,
  age,
  e2fsprogs,
  nix,
  openssh,
  openssl,
  sops,
}:

writeShellApplication {
  name = "fieldline";
  runtimeInputs = [
    age
    e2fsprogs
    nix
    openssh
    openssl
    sops
  ];
  # Which secrets a host wants is known to lib/ alone.
  text = ''
    export FIELDLINE_LIB=''${FIELDLINE_LIB:-${../lib}}
    exec ${lib.getExe fieldline} "$@"
  '';
  meta.description = "The command line of Fieldline, with what it calls on an administrator's machine";
}
