# Who gets into a host, and what watches over its switch: site.toml, docs/deploy.md, sshd_config(5).
let
  host = (import ../../../lib { }).lab.hosts.opc;
  none = (import ../../../lib { site = ../sites/single.toml; }).lab.hosts.bench;
  guard = host.units.deploy-guard;
in
{
  "admins are the site's, with their keys" = {
    actual = builtins.mapAttrs (_: map (key: builtins.substring 0 12 key)) host.admins;
    expected.admin = [ "ssh-ed25519 " ];
  };
  "a site without admins lets nobody in" = {
    actual = {
      inherit (none) admins;
      inherit (none.sshd) AllowGroups;
    };
    expected = {
      admins = { };
      AllowGroups = [ "wheel" ];
    };
  };
  "keys alone, and never root's" = {
    actual = {
      inherit (host.sshd)
        AuthenticationMethods
        PasswordAuthentication
        KbdInteractiveAuthentication
        PermitRootLogin
        ;
    };
    expected = {
      AuthenticationMethods = "publickey";
      PasswordAuthentication = false;
      KbdInteractiveAuthentication = false;
      PermitRootLogin = "no";
    };
  };
  # A failing network or firewall must not stop the one that goes back because of it.
  "the guard needs nothing" = {
    actual = {
      inherit (guard)
        after
        wants
        requires
        credentials
        ;
    };
    expected = {
      after = [ ];
      wants = [ ];
      requires = [ ];
      credentials = { };
    };
  };
  # nixpkgs, switch-to-configuration: which section each is read from.
  "a switch neither restarts nor stops its guard" = {
    actual = {
      restart = guard.serviceConfig.X-RestartIfChanged;
      stop = guard.unitConfig.X-StopOnRemoval;
    };
    expected = {
      restart = false;
      stop = false;
    };
  };
  # `systemctl start multi-user.target` of a switch waits for one-shots that the target wants.
  "a switch does not wait for its guard" = {
    actual = guard.serviceConfig.Type;
    expected = "exec";
  };
  "a killed guard comes back" = {
    actual = { inherit (guard.serviceConfig) Restart RestartForceExitStatus RestartPreventExitStatus; };
    expected = {
      Restart = "on-failure";
      RestartForceExitStatus = "SIGTERM SIGINT SIGHUP SIGPIPE";
      RestartPreventExitStatus = 78;
    };
  };
}
