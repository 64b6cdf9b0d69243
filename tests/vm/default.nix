# The lab's scenarios as NixOS VM tests: one for each file of tests/scenarios, on the hosts of the
# demonstration plant. `prelude.py` is set before each, as in the lab.
{
  lib,
  pkgs,
  # What hosts/default.nix gives.
  machines,
}:
let
  folder = ../scenarios;
  scenarios = map (lib.removeSuffix ".py") (
    lib.filter (file: lib.hasSuffix ".py" file && file != "prelude.py") (
      lib.attrNames (builtins.readDir folder)
    )
  );

  # Made by the same command as everybody's, while the test is built. Secret they are not: they stand in
  # the store of the machine that runs the test.
  secrets = pkgs.runCommand "test-secrets" { nativeBuildInputs = [ pkgs.fieldline-admin ]; } ''
    mkdir "$out" && cp ${../../site.toml} "$out/site.toml"
    export SOPS_AGE_KEY_FILE="$out/admin-key.txt"
    fieldline secrets init --site "$out/site.toml"
    for host in ${toString machines.names}; do
      sops decrypt --extract "[\"host-key-$host\"]" "$out/secrets/admin.yaml" >"$out/key-$host.txt"
    done
  '';

  node =
    name:
    { config, ... }:
    {
      imports = machines.modulesOf name "test";

      fieldline.secrets = {
        folder = "${secrets}/secrets";
        evaluated = false;
      };
      # The scenarios' own administrator; its private key is in base.py.
      users.users.scenario = {
        isNormalUser = true;
        extraGroups = [ "wheel" ];
        openssh.authorizedKeys.keyFiles = [ (folder + "/admin.pub") ];
      };

      # What `fieldline secrets install` does for a real machine, before anything is decrypted.
      system.activationScripts = {
        hostKey.text = ''
          install -D -m 0400 ${secrets}/key-${name}.txt ${config.sops.age.keyFile}
        '';
        setupSecretsForUsers.deps = [ "hostKey" ];
      };
    };

  test =
    name:
    pkgs.testers.runNixOSTest {
      inherit name;
      nodes = lib.genAttrs machines.names node;
      testScript = lib.concatMapStringsSep "\n" builtins.readFile [
        (folder + "/prelude.py")
        (folder + "/${name}.py")
      ];
    };
in
lib.genAttrs scenarios test
