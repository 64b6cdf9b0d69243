"""How the value of each secret comes to be, told by its name."""

from __future__ import annotations

import re
import secrets

from fieldline.errors import FieldlineError
from fieldline.secrets.age import new_key
from fieldline.secrets.tools import Tools, in_memory, run

HOST_KEY = "host-key-"
CONSOLE = "console-password"
CONSOLE_HASH = "console-password-hash"
CLIENT_KEY, CLIENT_CERTIFICATE = "opcua-client-key", "opcua-client-certificate"

# What is computed from another secret; it changes with that one and not by itself.
SOURCES = {CONSOLE_HASH: CONSOLE, CLIENT_CERTIFICATE: CLIENT_KEY}

# 64 characters in hexadecimal: InfluxDB takes at most 72 bytes for a password.
BYTES = 32
# Letters that lie at the same place of English, German and French keyboards (a console may think
# it has another one than it has) and that nobody takes for another: 18, so 25 of them are 104 bits.
CONSOLE_LETTERS = "bcdefghijknoprstuv"
CONSOLE_GROUPS = 5

_GIVEN = re.compile(r"opcua-.+-password")
_RANDOM = re.compile(r"(.+-)?(password|token|key)")

# The longest time that OPC UA stacks take without a question; a plant outlives a year.
_CERTIFICATE_DAYS = 3650
# What a client's certificate must have (OPC 10000-6, 6.2.2): its application's name as URI.
_EXTENSIONS = (
    "basicConstraints=critical,CA:FALSE",
    "keyUsage=critical,digitalSignature,nonRepudiation,keyEncipherment,dataEncipherment",
    "extendedKeyUsage=clientAuth",
    "subjectAltName=URI:urn:fieldline:collector",
)


def is_given(name: str) -> bool:
    """Whether somebody else decides the value (the owner of a PLC), so that it must be asked for.

    True for names that nothing here can make, too: an invented value would look like a right one.
    """
    if name in SOURCES or name.startswith(HOST_KEY) or name in (CONSOLE, CLIENT_KEY):
        return False
    return _GIVEN.fullmatch(name) is not None or _RANDOM.fullmatch(name) is None


def generate(tools: Tools, name: str) -> str:
    """A new value of a secret that is neither given nor computed."""
    if name.startswith(HOST_KEY):
        return new_key(tools)
    if name == CONSOLE:
        groups = (
            "".join(secrets.choice(CONSOLE_LETTERS) for _ in range(5))
            for _ in range(CONSOLE_GROUPS)
        )
        return "-".join(groups)
    if name == CLIENT_KEY:
        argv = [tools.openssl, "genpkey", "-algorithm", "RSA"]
        return run([*argv, "-pkeyopt", "rsa_keygen_bits:2048"], "openssl makes no key.")
    return secrets.token_hex(BYTES)


def compute(tools: Tools, name: str, source: str) -> str:
    """The value of a secret that follows from another one (see SOURCES)."""
    if name == CONSOLE_HASH:
        return hashed(tools, source)
    with in_memory(source) as (path, descriptor):
        argv = [tools.openssl, "req", "-x509", "-new", "-sha256", "-key", path]
        argv += ["-days", str(_CERTIFICATE_DAYS), "-subj", "/O=Fieldline/CN=Fieldline collector"]
        for extension in _EXTENSIONS:
            argv += ["-addext", extension]
        return run(argv, "openssl makes no certificate.", descriptors=[descriptor])


def hashed(tools: Tools, password: str, salt: str = "") -> str:
    """The password as crypt(3) hashes it, SHA-512; a salt is taken only to compare."""
    salted = ["-salt", salt] if salt else []
    argv = [tools.openssl, "passwd", "-6", *salted, "-stdin"]
    return run(argv, "openssl hashes no password.", stdin=password + "\n").strip()


def is_hash_of(tools: Tools, value: str, password: str) -> bool:
    """Whether a hash is the password's."""
    parts = value.split("$")
    return len(parts) == 4 and hashed(tools, password, parts[2]) == value


def check(name: str, value: str) -> str:
    """A value that somebody gives, as it is kept.

    Raises:
        FieldlineError: it cannot be right.
    """
    if not value:
        raise FieldlineError(f"Give {name} a value: an empty one was given.")
    if "\0" in value:
        raise FieldlineError(f"Give {name} a text: the value has a NUL character.")
    single = name.endswith(("password", "token")) or name == CONSOLE
    if single and ("\n" in value or "\r" in value):
        raise FieldlineError(f"Give {name} a single line: the value has a line break.")
    if name.endswith("password") and len(value.encode()) > 72 and name.startswith("influxdb"):
        raise FieldlineError("Give InfluxDB's password at most 72 bytes: it refuses more.")
    return value
