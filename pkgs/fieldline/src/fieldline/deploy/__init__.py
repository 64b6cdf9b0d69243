"""A change of a host from an admin's machine: built here, switched and guarded there."""
