# How a service has another unit restarted: it runs as nobody in particular, so it writes a file, and a
# path unit of systemd starts the one-shot that may. One for each unit that anybody on the host wants
# restarted, however many do.
let
  inherit (builtins) groupBy mapAttrs;
  units = import ./units.nix;

  file = { unit, by, ... }: "/run/${by}/restart-${unit}";

  # How long a unit may take to stop and to start.
  patience = {
    telegraf = "3min";
    # A minute to stop; and at its start it reads its write-ahead log.
    influxdb2 = "10min";
  };
in
{
  # A wish: `unit` is to be restarted when `by` says so, the service that writes the file.
  inherit file;

  # What the service that wishes needs in its serviceConfig.
  serviceConfig = by: {
    RuntimeDirectory = by;
    # The path unit takes a file that vanishes for one that changes, and this one would at each stop.
    RuntimeDirectoryPreserve = true;
  };

  # The units of all wishes of a host.
  parts =
    wishes:
    let
      byUnit = groupBy (wish: "${wish.unit}-restart") wishes;
    in
    {
      # Root, since it starts units; it may nothing else: of hardening.nix nothing is taken back.
      units = mapAttrs (
        _: wishes:
        let
          inherit (builtins.head wishes) unit;
        in
        units.service {
          description = "Restart of ${unit}, which delivers nothing";
          network = false;
          base = units.hardening;
          wantedBy = [ ];
          # One that starts or stops at the moment is left alone.
          conditions = [
            {
              program = "systemctl";
              arguments = [
                "--quiet"
                "is-active"
                "${unit}.service"
              ];
            }
          ];
          command = {
            program = "systemctl";
            arguments = [
              "try-restart"
              "${unit}.service"
            ];
          };
          serviceConfig = {
            Type = "oneshot";
            TimeoutStartSec = patience.${unit};
          };
        }
      ) byUnit;

      paths = mapAttrs (
        _: wishes:
        units.path {
          description = "Wish to have ${(builtins.head wishes).unit} restarted";
          pathConfig.PathChanged = map file wishes;
        }
      ) byUnit;
    };
}
