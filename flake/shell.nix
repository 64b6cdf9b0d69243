# What a developer of Fieldline or of a plant has at hand: `nix develop`.
{ pkgs }:
let
  python = pkgs.python3.withPackages (ps: [
    # What requirements.in lists, for all our packages, the lab and their tests.
    ps.aiokafka
    ps.asyncua
    ps.cryptography
    ps.editables
    ps.fieldline
    ps.hatchling
    ps.hypothesis
    ps.jsonschema
    ps.msgspec
    ps.mypy
    ps.numpy
    ps.prometheus-client
    ps.pyarrow
    ps.pydantic
    ps.pyflakes
    ps.pytest
    ps.pytest-asyncio
    ps.pytest-xdist
    ps.rich
    ps.structlog
    ps.tomli-w
    ps.typer
    ps.urllib3
  ]);
in
pkgs.mkShell {
  packages = [
    python
    # secrets
    pkgs.age
    pkgs.openssl
    pkgs.sops
    # a look at Kafka
    pkgs.kcat
    # formatters and linters
    pkgs.deadnix
    pkgs.nixfmt
    pkgs.ruff
    pkgs.statix
    # the lab's parts, used from here instead of being built
  ]
  ++ import ./parts.nix { inherit pkgs; };

  shellHook = ''
    export FIELDLINE_LIB=''${FIELDLINE_LIB:-${../lib}}
  '';
}
