"""The lab: the hosts of a site on any Linux machine, without NixOS."""
