{
  lib,
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
  pytestCheckHook,
  pytest-asyncio,
  hypothesis,
  jsonschema,
  age,
  e2fsprogs,
  nix,
  openssl,
  sops,
}:

# A library first, since the services build on it; `pkgs.fieldline` is its command line.
buildPythonPackage {
  pname = "fieldline";
  version = "0.1.0";
  pyproject = true;

  # The tests read the demonstration plant: its site, what lib/ makes of it, its secrets.
  src = lib.fileset.toSource {
    root = ../..;
    fileset = lib.fileset.unions [
      ./pyproject.toml
      ./src
      ./tests
      ../../conftest.py
      ../../pyproject.toml
      ../../site.toml
      ../../lib
      ../../.sops.yaml
      ../../secrets
      ../../tests/fixtures/secrets
      ../../tests/sites
    ];
  };
  sourceRoot = "source/pkgs/fieldline";

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

  nativeCheckInputs = [
    pytestCheckHook
    pytest-asyncio
    hypothesis
    jsonschema
    # What `fieldline secrets` calls: tried for real, without a network.
    age
    e2fsprogs
    nix
    openssl
    sops
  ];
  # What needs a server is run by `make test` and by the VM tests.
  preCheck = "cd ../..";
  enabledTestPaths = [ "pkgs/fieldline/tests" ];
  disabledTestMarks = [
    "servers"
    "kafka"
  ];
  pythonImportsCheck = [ "fieldline" ];

  meta = {
    description = "Declarative industrial telemetry: the site, and what every Fieldline service shares";
    license = lib.licenses.asl20;
    mainProgram = "fieldline";
    platforms = lib.platforms.linux;
  };
}
