"""The real servers of the tests of pkgs/fieldline."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_FILE = Path(__file__).parents[3] / "fieldline/tests/servers/conftest.py"
_spec = importlib.util.spec_from_file_location("fieldline_servers", _FILE)
assert _spec is not None
assert _spec.loader is not None
_servers = importlib.util.module_from_spec(_spec)
sys.modules["fieldline_servers"] = _servers
_spec.loader.exec_module(_servers)

influxdb, kafka = _servers.influxdb, _servers.kafka
