# nix run .#fieldline -- …   and   nix run .#lab -- up
{ lib, pkgs }:
let
  # The lab's hosts are made of the machine's own /usr and systemd (Debian, Ubuntu), and its Python is the
  # work tree's; what comes from nixpkgs are the servers, so that none has to be built.
  runLab = pkgs.writeShellApplication {
    name = "fieldline-lab";
    runtimeInputs = import ./parts.nix { inherit pkgs; };
    text = ''
      if [ ! -f lib/default.nix ] || [ ! -x scripts/install ]; then
        echo "fieldline-lab: run it in a work tree of Fieldline (the folder with site.toml and lib/)" >&2
        exit 1
      fi
      scripts/install
      exec .venv/bin/fieldline lab "$@"
    '';
  };
  app = package: description: {
    type = "app";
    program = lib.getExe package;
    meta = { inherit description; };
  };
in
rec {
  fieldline = app pkgs.fieldline-admin "The command line of Fieldline";
  lab = app runLab "The plant of site.toml as hosts of this machine";
  default = fieldline;
}
