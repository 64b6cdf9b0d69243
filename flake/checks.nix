# The checks of Fieldline itself: the scenarios as VM tests, the tests of lib/, format and lint.
{
  lib,
  pkgs,
  source,
  machines,
}:
let
  check =
    name: inputs: script:
    pkgs.runCommand "fieldline-${name}" { nativeBuildInputs = inputs; } ''
      cp -r ${source} source && chmod -R u+w source && cd source
      ${script}
      touch "$out"
    '';

  python = pkgs.python3.withPackages (ps: [
    ps.fieldline
    ps.hypothesis
    ps.msgspec
    ps.pytest
    ps.pytest-asyncio
    ps.pytest-xdist
    ps.tomli-w
  ]);

  tests = map (name: "tests/nix/test_${name}.py") [
    "lib"
    "packages"
    "site_addresses"
    "site_mutations"
    "site_readers"
  ];
in
{
  nix-format = check "nix-format" [ pkgs.nixfmt ] "find . -name '*.nix' -exec nixfmt --check {} +";
  nix-lint = check "nix-lint" [
    pkgs.statix
    pkgs.deadnix
  ] "statix check . && deadnix --fail .";
  # Not the format, of which each release of ruff has its own opinion: the lab's is the judge.
  python-lint = check "python-lint" [ pkgs.ruff ] "ruff check conftest.py pkgs lab tests bench";

  # Both readers of the site, and what lib/ makes of it. What asks git or the lab's parts is left to
  # `make check`.
  lib = check "lib" [
    python
    pkgs.nix
    pkgs.nftables
  ] "PYTHONPATH=lab/src pytest -q -p no:cacheprovider ${lib.concatStringsSep " " tests}";
}
# The hosts of the VM tests are x86_64 machines; the `opc` of them is `opc@vbox` but for its disk.
// lib.optionalAttrs (pkgs.stdenv.hostPlatform.system == "x86_64-linux") (
  import ../tests/vm { inherit lib pkgs machines; }
)
