# The site, checked and resolved: `import ./site.nix ./site.toml`. A wrong one is refused with all its
# mistakes. Only integers, texts, booleans, null, lists and sets: Nix would not keep a float's digits.
path:
let
  read = import ./read.nix (builtins.readFile path);
  line = mistake: "site.toml: ${mistake.key}: ${mistake.code}: ${mistake.problem}; ${mistake.remedy}";
in
if read.mistakes == [ ] then
  read.site
else
  throw "the site is refused:\n${builtins.concatStringsSep "\n" (map line read.mistakes)}"
