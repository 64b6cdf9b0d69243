"""A host's own watch over its switch to another system: confirmed in time, or gone back from."""
