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
  # Python packages with models of a plant: entry points of the group `fieldline.models`.
  models ? [ ],
}:

buildPythonApplication {
  pname = "stream-model";
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
  sourceRoot = "source/pkgs/stream-model";

  build-system = [ hatchling ];
  dependencies = [
    aiokafka
    fieldline
    msgspec
    numpy
    prometheus-client
    structlog
    typer
  ]
  ++ models;

  nativeCheckInputs = [
    pytestCheckHook
    pytest-asyncio
    hypothesis
  ];
  preCheck = "cd ../..";
  enabledTestPaths = [ "pkgs/stream-model/tests" ];
  disabledTestMarks = [
    "servers"
    "kafka"
  ];
  pythonImportsCheck = [ "stream_model" ];

  meta = {
    description = "Fieldline's stream model: computes the declared models from the values on Kafka";
    license = lib.licenses.asl20;
    mainProgram = "stream-model";
    platforms = lib.platforms.linux;
  };
}
