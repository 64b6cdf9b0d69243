# Reads many sites at once: for each path its mistakes, and the resolved site if there are none.
paths:
builtins.listToAttrs (
  map (
    name:
    let
      path = /. + name;
      mistakes = import ../../lib/mistakes.nix path;
    in
    {
      inherit name;
      value = {
        inherit mistakes;
        site = if mistakes == [ ] then import ../../lib/site.nix path else null;
      };
    }
  ) paths
)
