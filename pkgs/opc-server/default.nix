{
  lib,
  buildPythonApplication,
  hatchling,
  asyncua,
  fieldline,
  numpy,
  prometheus-client,
  pyarrow,
  structlog,
  typer,
  pytestCheckHook,
  pytest-asyncio,
  hypothesis,
}:

buildPythonApplication {
  pname = "opc-server";
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
  sourceRoot = "source/pkgs/opc-server";

  build-system = [ hatchling ];
  dependencies = [
    asyncua
    fieldline
    numpy
    prometheus-client
    pyarrow
    structlog
    typer
  ];

  nativeCheckInputs = [
    pytestCheckHook
    pytest-asyncio
    hypothesis
  ];
  preCheck = "cd ../..";
  enabledTestPaths = [ "pkgs/opc-server/tests" ];
  pythonImportsCheck = [ "opc_server" ];

  meta = {
    description = "An OPC UA server for the assets of a Fieldline site, with a record of all it produced";
    license = lib.licenses.asl20;
    mainProgram = "opc-server";
    platforms = lib.platforms.linux;
  };
}
