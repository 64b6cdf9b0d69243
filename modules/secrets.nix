# The host's secrets: sops-nix decrypts them with the host's own age key into /run/secrets, for root
# alone; units get theirs from there by LoadCredential (units.nix).
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.fieldline.secrets;
  inherit (config.fieldline) host settings;

  # A path plus a text is a path: only that file gets into the store.
  fileOf = name: cfg.folder + "/${settings.secretFiles.${name}}";
  files = lib.unique (map (name: settings.secretFiles.${name}) settings.secrets);
  textOf =
    file:
    let
      path = cfg.folder + "/${file}";
    in
    lib.optionalString (builtins.pathExists path) (builtins.readFile path);

  # Keys of a sops file are not encrypted, and ours are flat.
  has =
    name:
    lib.any (lib.hasPrefix "${name}:") (lib.splitString "\n" (textOf settings.secretFiles.${name}));
  missing = builtins.filter (name: !has name) settings.secrets;

  # A key that everybody has: tests/fixtures/secrets.
  public = builtins.filter (line: lib.hasPrefix "age1" line) (
    lib.splitString "\n" (builtins.readFile ../tests/fixtures/secrets/recipients.txt)
  );
  readableByAll = builtins.filter (file: lib.any (key: lib.hasInfix key (textOf file)) public) files;

  unitsWith =
    name:
    lib.attrNames (
      lib.filterAttrs (
        _: unit: builtins.elem "/run/secrets/${name}" (builtins.attrValues unit.credentials)
      ) settings.units
    );
in
{
  options.fieldline.secrets = {
    folder = mkOption {
      type = types.path;
      description = ''
        The folder with the plant's encrypted secrets, as `fieldline secrets init` makes it:
        `hosts/HOST.yaml` and, where several hosts want the same value, `shared.yaml`.
      '';
      example = lib.literalExpression "./secrets";
    };

    evaluated = mkOption {
      type = types.bool;
      default = true;
      description = ''
        Whether the files are there at evaluation, so that a missing secret is found then. Off only where
        they are made by a build, as in the VM tests.
      '';
      example = false;
    };
  };

  config = {
    assertions = lib.optionals cfg.evaluated [
      {
        assertion = missing == [ ];
        message = "fieldline.secrets: ${host} needs ${lib.concatStringsSep ", " missing}, which ${
          lib.concatMapStringsSep ", " (file: "${toString cfg.folder}/${file}") files
        } does not hold; run `fieldline secrets rekey` in the plant's folder (`init` for a new one) and let git track the files";
      }
      {
        assertion = config.fieldline.platform == "test" || readableByAll == [ ];
        message = "fieldline.secrets: ${lib.concatStringsSep ", " readableByAll} can be read with the public key of Fieldline's tests, that is by everybody; run `fieldline secrets init --replace` in the plant's folder";
      }
    ];

    sops = {
      # Where `fieldline secrets install` puts it. No other key: a host's ssh key is for ssh.
      age = {
        keyFile = "/var/lib/sops-nix/key.txt";
        sshKeyPaths = [ ];
      };
      gnupg.sshKeyPaths = [ ];
      # Where a file is missing, sops-nix ends the evaluation before the assertion above is seen.
      validateSopsFiles = cfg.evaluated && lib.all (file: textOf file != "") files;
      secrets = lib.genAttrs settings.secrets (name: {
        sopsFile = fileOf name;
        mode = "0400";
        restartUnits = map (unit: "${unit}.service") (unitsWith name);
      });
    };
  };
}
