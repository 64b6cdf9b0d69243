# docs/options.md from the modules themselves; `make nix-eval` holds the committed page to it.
{ lib, options }:
let
  documented = lib.filter (option: option.visible && !option.internal) (
    lib.optionAttrSetToDocList { inherit (options) fieldline; }
  );

  # Both sides of `mkPackageOption` and of literalMD are { _type; text; }.
  shown =
    value: if lib.isAttrs value && value ? text then value.text else lib.generators.toPretty { } value;
  oneLine =
    text:
    lib.concatStringsSep " " (lib.filter (line: line != "") (map lib.trim (lib.splitString "\n" text)));

  section =
    option:
    lib.concatStringsSep "\n" (
      [
        "## `${option.name}`"
        (oneLine (lib.removeSuffix "\n" (option.description.text or option.description)))
        ""
        "- type: `${option.type}`"
      ]
      ++ lib.optional (option ? default) "- default: `${oneLine (shown option.default)}`"
      ++ lib.optional (option ? example) "- example: `${oneLine (shown option.example)}`"
      ++ [ "" ]
    );
in
''
  # Options of the NixOS modules
  Made from `modules/` (`make options`); do not edit. A plant's hosts follow from `site.toml`, so a machine needs none of these set:
  they are for what the site has no word for, as `extraModules` of `mkPlant`, or for a flake that takes `nixosModules.default` alone.

''
+ lib.concatStringsSep "\n" (map section (lib.sort (a: b: a.name < b.name) documented))
