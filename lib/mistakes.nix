# What is wrong in a site, as a list of { key; code; }; an unreadable file ends the evaluation.
path:
map (mistake: { inherit (mistake) key code; }) (import ./read.nix (builtins.readFile path)).mistakes
