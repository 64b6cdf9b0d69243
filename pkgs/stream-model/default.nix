{
  lib,
  callPackage,
  buildPythonApplication,
  hatchling,
  aiokafka,
  fieldline,
  msgspec,
  numpy,
  prometheus-client,
  structlog,
  typer,
  # Python packages with models of a plant: entry points of the group `fieldline.models`.
  models ? [ ],
}:

let
  tested = callPackage ../tested.nix { } { folder = ./.; };
in
buildPythonApplication (
  tested
  // {
    pname = "stream-model";
    version = "0.1.0";
    pyproject = true;

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

    pythonImportsCheck = [ "stream_model" ];

    meta = {
      description = "Fieldline's stream model: computes the declared models from the values on Kafka";
      license = lib.licenses.asl20;
      mainProgram = "stream-model";
      platforms = lib.platforms.linux;
    };
  }
)
