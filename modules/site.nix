# Which plant and which of its hosts this machine is. Everything else follows from these.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.fieldline;
  plant = import ../lib { inherit (cfg) site; };
  declared = lib.concatStringsSep ", " (builtins.attrNames plant.hosts);
in
{
  options.fieldline = {
    site = mkOption {
      type = types.path;
      description = ''
        The plant's declaration. A wrong one, or one of another schema than this Fieldline reads, ends
        the evaluation with every mistake and what would be right.
      '';
      example = lib.literalExpression "./site.toml";
    };

    siteFile = mkOption {
      type = types.path;
      internal = true;
      readOnly = true;
      description = "The site's file by its content: in a flake, its own path changes with every commit.";
    };

    host = mkOption {
      type = types.strMatching "[a-z]([a-z0-9-]{0,30}[a-z0-9])?";
      description = "Which of the site's hosts this machine is.";
      example = "collector";
    };

    platform = mkOption {
      type = types.enum [
        "raspberry"
        "vbox"
        "test"
      ];
      description = "What the machine is made of; `test` is a VM of the NixOS test driver.";
      example = "vbox";
    };

    settings = mkOption {
      type = types.attrsOf types.raw;
      internal = true;
      readOnly = true;
      description = "What `lib/` makes of the site for this host: the very settings that the lab runs.";
    };

    network = mkOption {
      type = types.attrsOf types.raw;
      internal = true;
      readOnly = true;
      description = "The site's network, and the address of each of its hosts.";
    };

    facts = mkOption {
      type = types.attrsOf (types.either types.int types.str);
      default = { };
      internal = true;
      description = "What a generation is made of, for `fieldline deploy` to compare two.";
    };
  };

  config = {
    fieldline = {
      siteFile = builtins.path {
        path = cfg.site;
        name = "site.toml";
      };
      settings = {
        inherit (plant) kafka;
      }
      // plant.hosts.${cfg.host}
        or (throw "fieldline.host: ${cfg.host} is no host of the site; write one of ${declared}, or add [hosts.${cfg.host}] to site.toml");
      network = plant.network // {
        addresses = builtins.mapAttrs (_: host: host.address) plant.hosts;
      };
      facts = {
        inherit (cfg) host;
        inherit (builtins.fromTOML (builtins.readFile cfg.site)) schema;
      };
    };

    assertions = [
      {
        assertion = cfg.platform == "test" || builtins.elem cfg.platform cfg.settings.platforms;
        message = "fieldline.platform: ${cfg.host} is not declared for ${cfg.platform}; add it to hosts.${cfg.host}.platforms in site.toml, or build ${
          lib.concatMapStringsSep " or " (platform: "${cfg.host}@${platform}") cfg.settings.platforms
        }";
      }
    ];

    environment.etc = {
      # Our programs read the same file, so that no setting of theirs is written twice.
      "fieldline/site.toml".source = cfg.siteFile;
      "fieldline/generation.json".text = builtins.toJSON cfg.facts;
    };
  };
}
