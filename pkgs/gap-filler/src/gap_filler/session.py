"""A session with one OPC UA server that comes back by itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.crypto import security_policies
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from fieldline.errors import FieldlineError
from fieldline.site import Server

from gap_filler.opcua import AttributeIds, Client, UaStatusCodeError

# An answer of a healthy server takes milliseconds; of a small PLC with a large history, seconds.
REQUEST_S = 10.0
_LOOK_S = 1.0
# Signing a session on a small PLC takes seconds.
_CONNECT_S = 15.0
_RETRY_S = (1.0, 2.0, 5.0)
# A session whose requests time out so often in a row is made anew.
_MOST_TIMEOUTS = 2
# How many nodes one request has where the server states no limit of its own.
_NODES = 1000

_POLICIES: dict[str, Any] = {
    "Basic256Sha256": security_policies.SecurityPolicyBasic256Sha256,
    "Aes128_Sha256_RsaOaep": security_policies.SecurityPolicyAes128Sha256RsaOaep,
    "Aes256_Sha256_RsaPss": security_policies.SecurityPolicyAes256Sha256RsaPss,
}


class SessionError(Exception):
    """The server did not answer, or there is no session; the text says what, in plain words."""


class RefusedError(Exception):
    """The server answered that it will not; `code` is the status code."""

    def __init__(self, code: int, name: str) -> None:
        super().__init__(name)
        self.code = code


@dataclass(frozen=True, slots=True)
class Credentials:
    """Files with what a server asks of its clients; None where nothing is asked."""

    certificate: Path | None = None
    key: Path | None = None
    password: Path | None = None


class Session:
    """Connects, and connects again, until it is closed.

    Args:
        server: as declared; credentials: what it asks for.
        log: told once when a connection is lost or cannot be had, and when it is there again.
    """

    def __init__(
        self, server: Server, credentials: Credentials, log: structlog.stdlib.BoundLogger
    ) -> None:
        self._server = server
        self._credentials = credentials
        self._log = log
        self._client: Client | None = None
        self._up = asyncio.Event()
        self._broken = asyncio.Event()
        self._timeouts = 0
        self._attempts = 0
        # Why there is no session, and whether that was said.
        self.problem = "not connected yet"
        self._told = False
        self.connected_at = 0.0
        self.sessions = 0
        # Limits of the server for one request.
        self.history_nodes = _NODES
        self.read_nodes = _NODES

    @property
    def connected(self) -> bool:
        """Whether the session is up, as far as known."""
        return self._up.is_set()

    async def run(self, beat: Any) -> None:
        """Keep a session for ever; `beat()` is called after each attempt."""
        while True:
            client = None
            try:
                async with asyncio.timeout(_CONNECT_S):
                    client = await self._connect()
            except Exception as error:  # asyncua raises whatever it meets
                self._failed(error)
                beat()
                await _closed(client)
                delay = _RETRY_S[min(self._attempts, len(_RETRY_S) - 1)]
                self._attempts += 1
                await asyncio.sleep(delay)
                continue
            self._established(client)
            beat()
            try:
                await self._watch(client, beat)
            finally:
                self._up.clear()
                self._client = None
                await _closed(client)

    async def _connect(self) -> Client:
        server = self._server
        client = Client(server.endpoint, timeout=REQUEST_S, watchdog_intervall=REQUEST_S)
        client.name = "Fieldline gap filler"
        client.session_timeout = 60_000
        try:
            if server.security_mode != "None":
                await self._secure(client)
            if server.username is not None:
                client.set_user(server.username)
                if self._credentials.password is not None:
                    client.set_password(_text(self._credentials.password))
            await client.connect()
            limits = await _limits(client)
        except BaseException:
            await _closed(client)
            raise
        self.history_nodes = limits[0] or _NODES
        self.read_nodes = limits[1] or _NODES
        return client

    async def _secure(self, client: Client) -> None:
        certificate, key = self._credentials.certificate, self._credentials.key
        if certificate is None or key is None:
            raise FieldlineError(
                f"The server {self._server.name} is declared with security_mode "
                f'"{self._server.security_mode}": give --certificate and --key.'
            )
        loaded = _certificate(certificate.read_bytes())
        # A server compares this with the certificate, which names whom it was made for.
        with contextlib.suppress(x509.ExtensionNotFound):
            names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            uris = names.get_values_for_type(x509.UniformResourceIdentifier)
            client.application_uri = next(iter(uris), client.application_uri)
        mode = ua.MessageSecurityMode[self._server.security_mode]
        policy = _POLICIES[self._server.security_policy]
        await client.set_security(
            policy, loaded.public_bytes(Encoding.DER), _key(key.read_bytes()), mode=mode
        )

    def _established(self, client: Client) -> None:
        self._client = client
        self._broken.clear()
        self._timeouts = self._attempts = 0
        self.connected_at = asyncio.get_running_loop().time()
        self.sessions += 1
        self._log.info("server connected", server=self._server.name)
        self._told = False
        self.problem = ""
        self._up.set()

    async def _watch(self, client: Client, beat: Any) -> None:
        """Return when the session is lost."""
        while not self._broken.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._broken.wait()
            beat()
            if not _open(client):
                self._lost("the connection was closed")

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, FieldlineError):
            text = error.what_to_do
        elif isinstance(error, TimeoutError):
            text = "no answer within some seconds"
        else:
            text = str(error) or type(error).__name__
        if not self._told:
            self._told = True
            self._log.warning("server cannot be reached", server=self._server.name, cause=text)
        self.problem = text

    def _lost(self, why: str) -> None:
        if not self._broken.is_set():
            self.problem = why
            self._told = True
            self._log.warning("server lost", server=self._server.name, cause=why)
            self._up.clear()
            self._broken.set()

    async def up(self) -> None:
        """Wait until there is a session."""
        await self._up.wait()

    async def request(self, request: Any) -> Buffer:
        """Send a request as asyncua makes it, and give the answer's bytes.

        Raises:
            SessionError: no answer; RefusedError: a fault of the service.
        """
        client = self._client
        protocol = None if client is None else client.uaclient.protocol
        if protocol is None or not self._up.is_set():
            raise SessionError(self.problem)
        try:
            # Before asyncua's own limit: what that raises differs from release to release.
            async with asyncio.timeout(REQUEST_S):
                answer: Buffer = await protocol.send_request(request, REQUEST_S + 5)
        except UaStatusCodeError as error:
            self._timeouts = 0
            code = int(error.code)
            if code in _LOST:
                self._lost(type(error).__name__)
                raise SessionError(self.problem) from error
            raise RefusedError(code, type(error).__name__) from error
        except TimeoutError as error:
            self._timeouts += 1
            if self._timeouts >= _MOST_TIMEOUTS:
                self._lost("it does not answer")
            raise SessionError("no answer in time") from error
        except Exception as error:
            self._lost(str(error) or type(error).__name__)
            raise SessionError(self.problem) from error
        self._timeouts = 0
        return answer

    async def read(self, nodes: Sequence[ua.NodeId]) -> list[ua.DataValue]:
        """The values of nodes.

        Raises:
            SessionError, RefusedError: as `request`.
        """
        found: list[ua.DataValue] = []
        for first in range(0, len(nodes), self.read_nodes):
            request = ua.ReadRequest()
            request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
            for node in nodes[first : first + self.read_nodes]:
                value = ua.ReadValueId()
                value.NodeId = node
                value.AttributeId = AttributeIds.Value
                request.Parameters.NodesToRead.append(value)
            answer = await self.request(request)
            response = ua.ua_binary.struct_from_binary(ua.ReadResponse, answer)
            found += response.Results
        return found


# The session, the channel or the server is gone.
_LOST = frozenset(
    {
        0x80250000,  # BadSessionIdInvalid
        0x80260000,  # BadSessionClosed
        0x80270000,  # BadSessionNotActivated
        0x80860000,  # BadSecureChannelClosed
        0x80220000,  # BadSecureChannelIdInvalid
        0x80AE0000,  # BadConnectionClosed
        0x800E0000,  # BadServerHalted
        0x800C0000,  # BadShutdown
    }
)
# Server.ServerCapabilities.OperationLimits (OPC UA Part 5, 6.3.11).
_LIMITS = ("i=12165", "i=11705")


async def _limits(client: Client) -> list[int]:
    """What the server allows in one request: nodes of a HistoryRead, of a Read; 0 if not stated."""
    found = []
    for text in _LIMITS:
        try:
            value = await client.get_node(text).read_value()
        except UaStatusCodeError:
            value = 0
        found.append(value if isinstance(value, int) and value > 0 else 0)
    return found


def _open(client: Client) -> bool:
    """Whether the connection is there, as far as this side knows."""
    protocol = client.uaclient.protocol
    transport = None if protocol is None else protocol.transport
    return transport is not None and not transport.is_closing()


async def _closed(client: Client | None) -> None:
    """Close whatever is left of a client, in bounded time and without a word."""
    if client is None:
        return
    with contextlib.suppress(Exception):
        async with asyncio.timeout(2.0):
            await client.disconnect()
    with contextlib.suppress(Exception):
        client.disconnect_socket()


def _certificate(raw: bytes) -> x509.Certificate:
    if raw.lstrip().startswith(b"-----"):
        return x509.load_pem_x509_certificate(raw)
    return x509.load_der_x509_certificate(raw)


def _key(raw: bytes) -> bytes:
    """A private key as asyncua takes it from memory."""
    if not raw.lstrip().startswith(b"-----"):
        return raw
    key = load_pem_private_key(raw, None)
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _text(path: Path) -> str:
    return path.read_text().rstrip("\n")


def quiet_asyncua() -> None:
    """Keep asyncua's own words out of the log: what matters is said here in better ones."""
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
