"""Fieldline: declarative industrial telemetry, from one `site.toml`."""

__version__ = "0.1.0"
