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
}:

let
  tested = callPackage ../tested.nix { } {
    folder = ./.;
    # The real servers; not run here, but imported.
    sources = [ ../fieldline/tests/servers/conftest.py ];
  };
in
buildPythonApplication (
  tested
  // {
    pname = "ledger";
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
    ];

    pythonImportsCheck = [ "ledger" ];

    meta = {
      description = "Fieldline's ledger: counts what InfluxDB holds of each hour, and asks again for what it lost";
      license = lib.licenses.asl20;
      mainProgram = "ledger";
      platforms = lib.platforms.linux;
    };
  }
)
