# The set that every unit starts from. Only directives that systemd 252 knows (Debian 12, the lab);
# a unit that needs less names each exception with its reason. A list becomes a line per item.
{
  # Nobody gains rights: no setuid, no capability, no new namespace to have them in.
  NoNewPrivileges = true;
  CapabilityBoundingSet = "";
  AmbientCapabilities = "";
  RestrictSUIDSGID = true;
  RestrictNamespaces = true;

  # The file system is read-only but for the unit's own state; homes are not there at all.
  ProtectSystem = "strict";
  ProtectHome = true;
  PrivateTmp = true;
  UMask = "0077";
  RemoveIPC = true;

  # No devices, and the kernel's own knobs are out of reach.
  PrivateDevices = true;
  DevicePolicy = "closed";
  ProtectKernelTunables = true;
  ProtectKernelModules = true;
  ProtectKernelLogs = true;
  ProtectControlGroups = true;
  ProtectClock = true;
  ProtectHostname = true;

  # A service sees its own processes only.
  ProtectProc = "invisible";
  ProcSubset = "pid";

  # Unix sockets are for journald, sd_notify and the system bus.
  RestrictAddressFamilies = [
    "AF_UNIX"
    "AF_INET"
    "AF_INET6"
  ];
  RestrictRealtime = true;
  LockPersonality = true;
  MemoryDenyWriteExecute = true;
  KeyringMode = "private";

  # What is filtered fails with an error that the program can handle and log, rather than killing it.
  SystemCallArchitectures = "native";
  SystemCallFilter = [
    "@system-service"
    "~@privileged @resources"
  ];
  SystemCallErrorNumber = "EPERM";
}
