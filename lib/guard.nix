# The host's own watch over its switch to another system: a switch that nobody confirms in time is
# gone back from, whoever began it and whatever became of the network. The state machine is
# pkgs/fieldline/src/fieldline/guard/state.py; docs/deploy.md tells what happens when.
let
  units = import ./units.nix;
in
{
  units.deploy-guard = units.unconfined {
    description = "Guard of a switch to another system";
    command = {
      program = "fieldline";
      arguments = [
        "guard"
        "run"
        # Declared here: a way back that fails three times ends in a restart, which leads to the old
        # system too, since nothing that is not confirmed is the boot default. A slow Pi switches in
        # under a minute, so five are a hang.
        "--attempts"
        "3"
        "--attempt-within"
        "5min"
      ];
    };
    # Nothing of hardening.nix holds, since a switch is its child and inherits whatever it is denied:
    # - it writes anywhere (/etc, /boot, /nix/var, /home): ProtectSystem, ProtectHome, PrivateTmp, UMask;
    # - it makes setuid wrappers and owners: NoNewPrivileges, RestrictSUIDSGID, capabilities;
    # - it mounts, loads modules, sets sysctls, the host name, the clock: Protect*, RestrictNamespaces;
    # - it talks to devices and any kernel interface: PrivateDevices, DevicePolicy, address families;
    # - its hooks are programs of all kinds: SystemCallFilter, MemoryDenyWriteExecute, personality.
    # Nobody reaches it but root, who begins a switch: it listens to nothing.
    serviceConfig = {
      # Started, it counts as active at once. As a one-shot it would hold up the very switch it
      # guards, which starts multi-user.target and waits for that.
      Type = "exec";
      # It ends when the switch is decided, and mostly at once at boot: that is no fault.
      RemainAfterExit = true;
      Restart = "on-failure";
      RestartPreventExitStatus = units.exitConfiguration;
      # A signal that is no failure to systemd would end the guard with the switch undecided.
      RestartForceExitStatus = "SIGTERM SIGINT SIGHUP SIGPIPE";
      # The last to go when memory is short: without it nobody goes back.
      OOMScoreAdjust = -900;
      StateDirectory = "deploy-guard";
      StateDirectoryMode = "0700";
      # NixOS' own switch reads this: the guard is not restarted by what it guards.
      X-RestartIfChanged = false;
    };
    # Likewise: nor stopped by a system that has no guard.
    unitConfig.X-StopOnRemoval = false;
  };
}
