"""The OPC UA endpoint: who the server says it is, what it lets clients do, start and stop."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version

from asyncua import ua
from fieldline.service import ServiceError

from opc_server.address_space import build
from opc_server.history import History
from opc_server.opcua import Server
from opc_server.points import NAMESPACE, NAMESPACE_URI, Point
from opc_server.published import adapt_notifications

# Below the 5 s in which a service stops, with what is left for the rest.
STOP_S = 3.0


class Endpoint:
    """An asyncua server with the assets' variables, on one address.

    Args:
        name: of the server in the site; in the application's URI.
        address: IPv4 or IPv6; "::" takes both.
        port: 0 lets the kernel choose; `port` tells after the start.
    """

    def __init__(self, name: str, address: str, port: int) -> None:
        self._name = name
        self._address = address
        self.port = port
        adapt_notifications()
        self.server = Server()

    def check_free(self) -> None:
        """Refuse an address that cannot be had, before work is put into the address space.

        Raises:
            ServiceError: it is taken, or not one of this host.
        """
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                # As asyncio does: connections of a server just ended do not count.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((self._address, self.port))
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> ServiceError:
        return ServiceError(
            f"The OPC UA endpoint cannot listen on {self._address} port {self.port}. End what "
            "listens there, or declare another port in site.toml.",
            str(error),
        )

    async def build(self, points: Sequence[Point], history: History) -> None:
        """Make the address space: OPC UA's own part, then the assets.

        Args:
            points: the variables.
            history: answers for their history.
        Raises:
            ServiceError: two variables have one node id.
        """
        server = self.server
        server.iserver.history_manager = history
        await server.init()
        uri = f"urn:fieldline:opc-server:{self._name}"
        await server.set_application_uri(uri)
        if await server.register_namespace(NAMESPACE_URI) != NAMESPACE:
            raise RuntimeError("the variables' namespace has not got its index")
        server.set_server_name(f"Fieldline opc-server {self._name}")
        server.product_uri = NAMESPACE_URI
        server.manufacturer_name = "Fieldline"
        try:
            release = version("opc-server")
        except PackageNotFoundError:
            release = "0"
        # asyncua takes a time without zone here, as UTC.
        built = datetime(1970, 1, 1)  # noqa: DTZ001
        await server.set_build_info(
            NAMESPACE_URI, "Fieldline", "opc-server", release, release, built
        )
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        # By default asyncua makes an administrator of anybody who says to be "admin".
        server.allow_remote_admin(False)
        server.set_identity_tokens([ua.AnonymousIdentityToken])
        build(server, points)

    async def start(self) -> None:
        """Accept clients from now on.

        Raises:
            ServiceError: the address is taken.
        """
        literal = ipaddress.ip_address(self._address)
        host = f"[{literal}]" if literal.version == 6 else str(literal)
        self.server.set_endpoint(f"opc.tcp://{host}:{self.port}/")
        # asyncio takes both families where no address is named.
        listen = "" if literal.is_unspecified and literal.version == 6 else str(literal)
        self.server.socket_address = (listen, self.port)
        # It logs a refused address with a stack trace before it raises.
        log = logging.getLogger("asyncua.server.server")
        level = log.level
        log.setLevel(logging.CRITICAL)
        try:
            await self.server.start()
        except OSError as error:
            raise self._refused(error) from error
        finally:
            log.setLevel(level)
        if self.server.bserver is not None:
            self.port = self.server.bserver.port

    def sessions(self) -> int:
        """How many sessions are active."""
        if self.server.bserver is None:
            return 0
        processors = [client.processor for client in self.server.bserver.clients]
        return sum(
            processor is not None
            and processor.session is not None
            and processor.session.is_activated()
            for processor in processors
        )

    async def stop(self) -> None:
        """Give subscribers what is left, then close, within `STOP_S`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                for subscription in list(
                    self.server.iserver.subscription_service.subscriptions.values()
                ):
                    await subscription.publish_results()
                if self.server.bserver is None:
                    # asyncua 1.1 fails to stop what has not come to listen.
                    await self.server.iserver.stop()
                else:
                    await self.server.stop()
