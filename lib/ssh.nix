# Who may log in, and how: sshd's settings as NixOS' services.openssh.settings takes them. The lab
# writes the same into its sshd_config. Keys are in /etc/ssh/authorized_keys.d/ADMIN alone, which only
# the declaration fills (NixOS: services.openssh.authorizedKeysInHomedir = false): an admin who is
# removed from the site leaves no way in behind.
{ plant }:
{
  # NAME → public keys. An admin is in the group wheel and becomes root without a password, since
  # there is no password anywhere.
  inherit (plant.site) admins;

  sshd = {
    # A key, and nothing that could be guessed. AuthenticationMethods alone would do; the two others
    # keep sshd from offering what it then refuses.
    AuthenticationMethods = "publickey";
    PasswordAuthentication = false;
    KbdInteractiveAuthentication = false;
    # Who did it is in the log: root is become by sudo, from a name.
    PermitRootLogin = "no";
    # Nobody else even reaches the question, such as a service's user.
    AllowGroups = [ "wheel" ];
    # Seconds for a log in that is one signature, against 120: connections of those who never log in.
    LoginGraceTime = 20;
    MaxAuthTries = 4;
    # What an appliance has no use for, and a stolen session would.
    X11Forwarding = false;
    AllowAgentForwarding = false;
    PermitTunnel = false;
    GatewayPorts = "no";
    # To an admin's InfluxDB at 127.0.0.1, which the firewall hides; never a port opened here.
    AllowTcpForwarding = "local";
    # A cable pulled ends the session after 90 s, also one that holds a lock.
    ClientAliveInterval = 30;
    ClientAliveCountMax = 3;
    # No name server is asked who somebody is: an air-gapped plant has none, and log ins would wait.
    UseDns = false;
    UsePAM = true;
  };
}
