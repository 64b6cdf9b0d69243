"""What every long-running service shares: logs, readiness and watchdog, metrics, start and stop."""

from fieldline.errors import EXIT_CONFIGURATION, EXIT_OK, EXIT_UNAVAILABLE, ServiceError
from fieldline.service.http import HttpServer
from fieldline.service.logging import configure_logging
from fieldline.service.notify import Notifier
from fieldline.service.run import run

__all__ = [
    "EXIT_CONFIGURATION",
    "EXIT_OK",
    "EXIT_UNAVAILABLE",
    "HttpServer",
    "Notifier",
    "ServiceError",
    "configure_logging",
    "run",
]
