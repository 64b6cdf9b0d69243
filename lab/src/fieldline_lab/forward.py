"""Ports of the lab's hosts on 127.0.0.1 of this machine.

The listening socket is made in the machine's own network namespace and inherited by a process in
the host's: connections cross between the namespaces inside that process, no packet does. It
connects from within the host itself, where the host's firewall and its services see a local client.

Run as a program it needs nothing but the standard library, so that it starts at once.
"""

import asyncio
import socket
import sys
from collections.abc import Sequence

BACKLOG = 64
CHUNK = 1 << 16
CONNECT_SECONDS = 5.0


def listen(preferred: Sequence[int]) -> socket.socket:
    """A listening socket on 127.0.0.1: the first free one of these ports, else any."""
    for port in (*preferred, 0):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        # A connection of the last run that is still closing must not keep the port from us.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
            sock.listen(BACKLOG)
            return sock
        except OSError:
            sock.close()
            if port == 0:
                raise
    raise AssertionError("port 0 is always tried")


def command(descriptor: int, addresses: Sequence[str], port: int) -> list[str]:
    """The command that serves an inherited socket; to be run inside the host's namespace."""
    return [sys.executable, "-I", "-S", __file__, str(descriptor), str(port), *addresses]


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.close()


async def _serve(descriptor: int, port: int, addresses: Sequence[str]) -> None:
    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for address in addresses:
            try:
                far = await asyncio.wait_for(
                    asyncio.open_connection(address, port), CONNECT_SECONDS
                )
                break
            except (OSError, TimeoutError):
                continue
        else:
            writer.close()
            return
        try:
            await asyncio.gather(_copy(reader, far[1]), _copy(far[0], writer))
        finally:
            far[1].close()
            writer.close()

    sock = socket.socket(fileno=descriptor)
    server = await asyncio.start_server(serve_one, sock=sock)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
