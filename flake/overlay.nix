# Our Python packages in nixpkgs' sets: `python3Packages.fieldline` for who builds on it, and the programs.
final: prev: {
  pythonPackagesExtensions = prev.pythonPackagesExtensions ++ [
    (python: _: {
      fieldline = python.callPackage ../pkgs/fieldline {
        # Programs, not Python packages of the same names.
        inherit (final)
          age
          e2fsprogs
          nix
          openssl
          sops
          ;
      };
    })
  ];

  fieldline = final.python3Packages.toPythonApplication final.python3Packages.fieldline;
  opc-server = final.python3Packages.callPackage ../pkgs/opc-server { };
  gap-filler = final.python3Packages.callPackage ../pkgs/gap-filler { };
  stream-model = final.python3Packages.callPackage ../pkgs/stream-model { };

  # `fieldline` for an administrator's machine: with the programs that `secrets` and `deploy` call. A host
  # has the plain one, since it never decrypts or builds for others.
  fieldline-admin = final.callPackage ./admin.nix { };
}
