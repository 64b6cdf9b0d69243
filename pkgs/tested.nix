# What all our Python packages share: their source, and how it is tested when it is built.
{
  lib,
  pytestCheckHook,
  pytest-asyncio,
  hypothesis,
}:
{
  # The package's, below pkgs/.
  folder,
  # What its tests read beyond that.
  sources ? [ ],
  nativeCheckInputs ? [ ],
}:
let
  name = baseNameOf folder;
in
{
  src = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions (
      [
        (folder + "/pyproject.toml")
        (folder + "/src")
        (folder + "/tests")
        ../conftest.py
        ../pyproject.toml
        ../site.toml
      ]
      ++ sources
    );
  };
  sourceRoot = "source/pkgs/${name}";

  nativeCheckInputs = [
    pytestCheckHook
    pytest-asyncio
    hypothesis
  ]
  ++ nativeCheckInputs;
  # What needs a server is run by `make test` and by the VM tests.
  preCheck = "cd ../..";
  enabledTestPaths = [ "pkgs/${name}/tests" ];
  disabledTestMarks = [
    "servers"
    "kafka"
  ];
}
