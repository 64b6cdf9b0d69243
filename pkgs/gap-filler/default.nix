{
  lib,
  callPackage,
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
}:

let
  tested = callPackage ../tested.nix { } { folder = ./.; };
in
buildPythonApplication (
  tested
  // {
    pname = "gap-filler";
    version = "0.1.0";
    pyproject = true;

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

    pythonImportsCheck = [ "gap_filler" ];

    meta = {
      description = "Fieldline's gap filler: fills what the collection has missed from the servers' history";
      license = lib.licenses.asl20;
      mainProgram = "gap-filler";
      platforms = lib.platforms.linux;
    };
  }
)
