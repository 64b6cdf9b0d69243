{
  lib,
  buildPythonApplication,
  hatchling,
  aiokafka,
  asyncua,
  cryptography,
  fieldline,
  msgspec,
  numpy,
  prometheus-client,
  structlog,
  typer,
  pytestCheckHook,
  pytest-asyncio,
  hypothesis,
}:

buildPythonApplication {
  pname = "gap-filler";
  version = "0.1.0";
  pyproject = true;

  src = lib.fileset.toSource {
    root = ../..;
    fileset = lib.fileset.unions [
      ./pyproject.toml
      ./src
      ./tests
      ../../conftest.py
      ../../pyproject.toml
      ../../site.toml
    ];
  };
  sourceRoot = "source/pkgs/gap-filler";

  build-system = [ hatchling ];
  dependencies = [
    aiokafka
    asyncua
    cryptography
    fieldline
    msgspec
    numpy
    prometheus-client
    structlog
    typer
  ];

  nativeCheckInputs = [
    pytestCheckHook
    pytest-asyncio
    hypothesis
  ];
  preCheck = "cd ../..";
  enabledTestPaths = [ "pkgs/gap-filler/tests" ];
  disabledTestMarks = [
    "servers"
    "kafka"
  ];
  pythonImportsCheck = [ "gap_filler" ];

  meta = {
    description = "Fieldline's gap filler: fills what the collection has missed from the servers' history";
    license = lib.licenses.asl20;
    mainProgram = "gap-filler";
    platforms = lib.platforms.linux;
  };
}
