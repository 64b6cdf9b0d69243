# What an OPC UA client on a collector needs for the servers that ask for more than a connection: the
# names of its secrets. Telegraf and the gap filler are such clients.
{ plant, host }:
let
  inherit (builtins) filter listToAttrs;
  inherit (plant.util) optionalAttrs;
  units = import ./units.nix;
in
rec {
  servers = plant.collectedBy host;

  encrypted = server: server.security_mode != "None";
  secured = filter encrypted servers;
  withPassword = filter (server: server.username != null) servers;

  certificate = "opcua-client-certificate";
  key = "opcua-client-key";
  password = server: "opcua-${server.name}-password";

  # For LoadCredential; `named` says by which name a unit knows a server's password.
  credentials =
    named:
    listToAttrs (
      map (server: {
        name = named server;
        value = "/run/secrets/${password server}";
      }) withPassword
    )
    // optionalAttrs (secured != [ ]) (units.secret certificate // units.secret key);
}
