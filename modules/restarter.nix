# Where services have other units restarted (lib/restarter.nix): the one program for it.
{ config, lib, ... }:
{
  config = lib.mkIf (config.fieldline.settings.paths != { }) {
    fieldline.programs.systemctl = lib.getExe' config.systemd.package "systemctl";
  };
}
