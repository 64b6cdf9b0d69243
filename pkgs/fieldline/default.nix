{
  lib,
  callPackage,
  buildPythonPackage,
  hatchling,
  aiokafka,
  cryptography,
  msgspec,
  numpy,
  prometheus-client,
  pydantic,
  rich,
  structlog,
  typer,
  urllib3,
  jsonschema,
  age,
  e2fsprogs,
  nix,
  openssl,
  sops,
}:

let
  tested = callPackage ../tested.nix { } {
    folder = ./.;
    # The demonstration plant: its site, what lib/ makes of it, its secrets.
    sources = [
      ../../lib
      ../../.sops.yaml
      ../../secrets
      ../../tests/fixtures/secrets
      ../../tests/sites
    ];
    nativeCheckInputs = [
      jsonschema
      # What `fieldline secrets` calls: tried for real, without a network.
      age
      e2fsprogs
      nix
      openssl
      sops
    ];
  };
in
# A library first, since the services build on it; `pkgs.fieldline` is its command line.
buildPythonPackage (
  tested
  // {
    pname = "fieldline";
    version = "0.1.0";
    pyproject = true;

    # The tests read the demonstration plant: its site, what lib/ makes of it, its secrets.
    build-system = [ hatchling ];
    dependencies = [
      aiokafka
      cryptography
      msgspec
      numpy
      prometheus-client
      pydantic
      rich
      structlog
      typer
      urllib3
    ];

    pythonImportsCheck = [ "fieldline" ];

    meta = {
      description = "Declarative industrial telemetry: the site, and what every Fieldline service shares";
      license = lib.licenses.asl20;
      mainProgram = "fieldline";
      platforms = lib.platforms.linux;
    };
  }
)
