{
  lib,
  buildPythonApplication,
  hatchling,
  aiokafka,
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
  pname = "ledger";
  version = "0.1.0";
  pyproject = true;

  src = lib.fileset.toSource {
    root = ../..;
    fileset = lib.fileset.unions [
      ./pyproject.toml
      ./src
      ./tests
      # The real servers; not run here, but imported.
      ../fieldline/tests/servers/conftest.py
      ../../conftest.py
      ../../pyproject.toml
      ../../site.toml
    ];
  };
  sourceRoot = "source/pkgs/ledger";

  build-system = [ hatchling ];
  dependencies = [
    aiokafka
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
  enabledTestPaths = [ "pkgs/ledger/tests" ];
  disabledTestMarks = [
    "servers"
    "kafka"
  ];
  pythonImportsCheck = [ "ledger" ];

  meta = {
    description = "Fieldline's ledger: counts what InfluxDB holds of each hour, and asks again for what it lost";
    license = lib.licenses.asl20;
    mainProgram = "ledger";
    platforms = lib.platforms.linux;
  };
}
