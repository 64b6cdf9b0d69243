"""A small HTTP server beside a service: Prometheus metrics and whatever else it shows read-only.

It runs in threads of its own, so that a slow reader never delays the service's work.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from urllib.parse import urlsplit

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

# A route takes the rest of the path behind its prefix and the query text, and gives status,
# content type and the body in pieces.
Route = Callable[[str, str], tuple[int, str, Iterable[bytes]]]


class HttpServer:
    """Serves `/metrics` and the given routes (prefix → function) until `stop`.

    Args:
        address: where to listen; "::" takes IPv4 too, where the kernel allows it.
        port: 0 lets the kernel choose; `port` tells then.
    Raises:
        OSError: the address is taken.
    """

    def __init__(
        self,
        address: str,
        port: int,
        *,
        registry: CollectorRegistry = REGISTRY,
        routes: Mapping[str, Route] | None = None,
    ) -> None:
        table = dict(routes or {})
        table["/metrics"] = lambda _rest, _query: (
            200,
            CONTENT_TYPE_LATEST,
            [generate_latest(registry)],
        )

        class Handler(BaseHTTPRequestHandler):
            # A reader that stalls is dropped: it must not keep a thread for ever.
            timeout = 30

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                for prefix, route in table.items():
                    if url.path == prefix or url.path.startswith(prefix.rstrip("/") + "/"):
                        status, kind, pieces = route(url.path[len(prefix) :], url.query)
                        break
                else:
                    status, kind, pieces = 404, "text/plain", [b"not found\n"]
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.end_headers()
                try:
                    for piece in pieces:
                        self.wfile.write(piece)
                except (BrokenPipeError, ConnectionResetError, TimeoutError):
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Stay silent: each scrape would be a log line."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            address_family = socket.AF_INET6 if ":" in address else socket.AF_INET

            def server_bind(self) -> None:
                if self.address_family == socket.AF_INET6:
                    self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                # HTTPServer's own asks DNS for this host's full name, which stalls the start for
                # seconds where no name server answers.
                TCPServer.server_bind(self)
                self.server_name, self.server_port = address, self.server_address[1]

        self._server = Server((address, port), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)

    def start(self) -> None:
        """Answer requests from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Close the listener; requests under way are dropped."""
        if self._thread.is_alive():
            # It waits for the thread, for ever if that was never started.
            self._server.shutdown()
        self._server.server_close()
