# Which secret is wanted where, and in which encrypted file its value stands. The one place that
# decides it: `fieldline secrets` makes the files from it, NixOS modules and the lab read them by it.
#   hosts/NAME.yaml  what that host alone wants; it and the admins can read it
#   shared.yaml      what several hosts want; they and the admins can read it
hosts:
let
  inherit (builtins)
    attrNames
    concatMap
    filter
    groupBy
    length
    listToAttrs
    mapAttrs
    ;

  names = attrNames hosts;
  wishes = concatMap (host: map (secret: { inherit host secret; }) hosts.${host}.secrets) names;
  bySecret = groupBy (wish: wish.secret) wishes;
  isShared = secret: length bySecret.${secret} > 1;
  fileOf = host: secret: if isShared secret then "shared.yaml" else "hosts/${host}.yaml";
in
{
  # The hosts with `secretFiles`: each of their secrets → its file, relative to the plant's secrets/.
  hosts = mapAttrs (
    host: body:
    body
    // {
      secretFiles = listToAttrs (
        map (secret: {
          name = secret;
          value = fileOf host secret;
        }) body.secrets
      );
    }
  ) hosts;

  secrets = {
    hosts = mapAttrs (_: body: filter (secret: !isShared secret) body.secrets) hosts;
    shared = filter isShared (attrNames bySecret);
  };
}
