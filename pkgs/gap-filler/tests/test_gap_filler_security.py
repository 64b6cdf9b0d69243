"""A server that asks for an encrypted channel, a certificate and a password."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from asyncua import Server, ua
from asyncua.crypto.permission_rules import User, UserRole
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from fieldline.site import load_site
from gap_filler.opcua import node_id
from gap_filler.plan import make_plans
from gap_filler.session import Credentials, Session
from gap_filler_server import write_site

SECURITY = """security_policy = "Basic256Sha256"
security_mode = "SignAndEncrypt"
username = "collector"
"""
# Against hangs only.
PATIENCE_S = 60


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate of its own for an application, PEM as sops holds them, and its key."""
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    names = [x509.UniformResourceIdentifier(f"urn:example:{name}"), x509.DNSName("localhost")]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    files = folder / f"{name}.pem", folder / f"{name}-key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


class Users:
    """Lets one in."""

    def get_user(self, _server: Any, username: Any = None, password: Any = None, **_: Any) -> Any:
        return User(UserRole.User) if (username, password) == ("collector", "open sesame") else None


@pytest.fixture
async def endpoint(tmp_path: Path) -> AsyncIterator[str]:
    server = Server(user_manager=Users())
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:0/")
    server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
    pem, key = certificate(tmp_path, "server")
    await server.load_certificate(str(pem))
    await server.load_private_key(str(key))
    async with server:
        assert server.bserver is not None
        yield f"opc.tcp://127.0.0.1:{server.bserver.port}/"


def session(folder: Path, endpoint: str, password: str) -> Session:
    pem, key = certificate(folder, "client")
    (folder / "password").write_text(f"{password}\n")
    [plan] = make_plans(load_site(write_site(folder, endpoint, security=SECURITY)), "all")
    log = structlog.stdlib.get_logger("gap-filler")
    return Session(plan.server, Credentials(pem, key, folder / "password"), log)


async def test_certificate_and_password_open_a_session(tmp_path: Path, endpoint: str) -> None:
    made = session(tmp_path, endpoint, "open sesame")
    task = asyncio.create_task(made.run(lambda: None))
    try:
        async with asyncio.timeout(PATIENCE_S):
            await made.up()
        [time] = await made.read([node_id("i=2258")])
        assert time.Value is not None
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_wrong_password_is_a_problem_in_words(tmp_path: Path, endpoint: str) -> None:
    made = session(tmp_path, endpoint, "wrong")
    tried = asyncio.Event()
    task = asyncio.create_task(made.run(tried.set))
    try:
        async with asyncio.timeout(PATIENCE_S):
            await tried.wait()
        assert not made.connected
        assert "open sesame" not in made.problem
        assert made.problem
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_certificate_that_is_not_given_is_said(tmp_path: Path) -> None:
    made = session(tmp_path, "opc.tcp://127.0.0.1:4840/", "open sesame")
    made._credentials = Credentials(None, None, None)
    tried = asyncio.Event()
    task = asyncio.create_task(made.run(tried.set))
    try:
        async with asyncio.timeout(PATIENCE_S):
            await tried.wait()
        assert "give --certificate and --key" in made.problem
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
