{
  lib,
  callPackage,
  buildPythonApplication,
  hatchling,
  asyncua,
  fieldline,
  numpy,
  prometheus-client,
  pyarrow,
  structlog,
  typer,
}:

let
  tested = callPackage ../tested.nix { } { folder = ./.; };
in
buildPythonApplication (
  tested
  // {
    pname = "opc-server";
    version = "0.1.0";
    pyproject = true;

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

    pythonImportsCheck = [ "opc_server" ];

    meta = {
      description = "An OPC UA server for the assets of a Fieldline site, with a record of all it produced";
      license = lib.licenses.asl20;
      mainProgram = "opc-server";
      platforms = lib.platforms.linux;
    };
  }
)
