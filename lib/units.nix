# What all units share: the hardening, who restarts them and when. `service` makes one unit of the
# form that NixOS modules and the lab both read.
let
  hardening = import ./hardening.nix;
  inherit (import ./util.nix) optionals;
in
rec {
  inherit hardening;

  # Exit status of our programs for a wrong configuration (sysexits' EX_CONFIG): a restart cannot heal it.
  exitConfiguration = 78;

  restarts = {
    Restart = "always";
    # Long enough not to spin, short against the seconds that a value may be late.
    RestartSec = "1s";
    # A service stops within 5 s of SIGTERM; after twice that it hangs.
    TimeoutStopSec = "10s";
  };

  common = hardening // restarts;

  # No limit on starts: an outage of hours (Kafka away, a PLC off for a weekend) must not end in
  # `failed`, from which nothing but a person returns. RestartSec keeps the rate low.
  commonUnit = {
    StartLimitIntervalSec = 0;
  };

  service =
    {
      description,
      after ? [ ],
      wants ? [ ],
      requires ? [ ],
      environment ? { },
      # Programs that say by their exit whether it starts at all; not starting is no failure then.
      conditions ? [ ],
      # One with `unless` is left out while the file of that name is there.
      preStart ? [ ],
      # A unit is ready when these have ended: for servers that don't tell it themselves.
      postStart ? [ ],
      command,
      serviceConfig ? { },
      unitConfig ? { },
      credentials ? { },
      # Whether it serves or connects to anybody.
      network ? true,
      wantedBy ? [ "multi-user.target" ],
      # What its serviceConfig starts from.
      base ? common,
    }:
    {
      inherit
        description
        environment
        conditions
        preStart
        postStart
        command
        credentials
        wantedBy
        ;
      # Addresses are bound and connected to: the network must be configured, not only begun.
      after =
        optionals network [
          "network-online.target"
          "nftables.service"
        ]
        ++ after;
      wants = optionals network [ "network-online.target" ] ++ wants;
      # Without its firewall a host serves nobody: its ports would be open to everyone.
      requires = optionals network [ "nftables.service" ] ++ requires;
      serviceConfig = base // serviceConfig;
      unitConfig = commonUnit // unitConfig;
    };

  # A file that systemd watches; the service of the same name is started when it changes.
  path =
    { description, pathConfig }:
    {
      inherit description pathConfig;
      wantedBy = [ "multi-user.target" ];
    };

  # A program of ours: no user of its own on disk, readiness and life told by itself.
  ours =
    {
      serviceConfig ? { },
      ...
    }@arguments:
    service (
      arguments
      // {
        serviceConfig = {
          Type = "notify";
          NotifyAccess = "main";
          DynamicUser = true;
          # Fed by progress, so 30 s without any is a hang: the longest wait of a healthy service is a
          # reconnection of 10 s.
          WatchdogSec = "30s";
          RestartPreventExitStatus = exitConfiguration;
        }
        // serviceConfig;
      }
    );

  # A one-shot of ours. Restarted on failure only, and then it waits for what it provisions by itself.
  oneshot =
    {
      serviceConfig ? { },
      ...
    }@arguments:
    service (
      arguments
      // {
        serviceConfig = {
          Type = "oneshot";
          RemainAfterExit = true;
          DynamicUser = true;
          Restart = "on-failure";
          RestartSec = "2s";
          RestartPreventExitStatus = exitConfiguration;
          # It waits for its server to come up, and on a slow disk that may recover for minutes.
          TimeoutStartSec = "infinity";
        }
        // serviceConfig;
      }
    );

  # Root without a sandbox, for what changes the host itself: see guard.nix for who may, and why.
  unconfined =
    arguments:
    service (
      arguments
      // {
        base = restarts;
        network = false;
      }
    );

  # A third-party server under the static user that nixpkgs' module gives it.
  foreign =
    name:
    {
      serviceConfig ? { },
      ...
    }@arguments:
    service (
      arguments
      // {
        serviceConfig = {
          User = name;
          Group = name;
          # Sockets of all clients and files of all segments; the default soft limit of 1024 is too low.
          LimitNOFILE = 65536;
        }
        // serviceConfig;
      }
    );

  secret = name: { ${name} = "/run/secrets/${name}"; };
  # Written out rather than as %d: that is a specifier in unit files only, and this is a plain text
  # for whoever renders a unit or a configuration.
  credentialPath = unit: name: "/run/credentials/${unit}.service/${name}";
}
