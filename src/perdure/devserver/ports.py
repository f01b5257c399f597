"""Dev server side: loopback ports.

Owns the choice of free ports. A port found free can be taken by another process before the server
binds it. Among Perdure's own servers that does not happen: they take turns (`turn_to_start`). When another
program does it, the caller starts again with other ports.
"""

import asyncio
import socket
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass

HOST = "127.0.0.1"
_NEIGHBOURS = 100
_TURN_PORT = 7233
_LONGEST_TURN_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class Ports:
    """The ports of one server."""

    grpc: int
    ui: int
    http: int


@dataclass(frozen=True, kw_only=True)
class PreferredPorts:
    """Where to look first; None is: any free port.

    Raises:
        ValueError: a number is not a port.
    """

    grpc: int | None
    ui: int | None
    http: int | None

    def __post_init__(self) -> None:
        for port in (self.grpc, self.ui, self.http):
            if port is not None and not 0 < port < 65536:
                raise ValueError(f"{port} is not a port. Fix: give 1 to 65535, or None for any free one.")

    def choose(self) -> Ports:
        """Three distinct free ports: each the preferred one, else the next free one above, else any."""
        grpc = _choose(self.grpc, taken=())
        ui = _choose(self.ui, taken=(grpc,))
        return Ports(grpc=grpc, ui=ui, http=_choose(self.http, taken=(grpc, ui)))


@asynccontextmanager
async def turn_to_start() -> AsyncGenerator[None]:
    """Be the only one on this machine that chooses ports and starts a server on them.

    Temporal looks for free ports of its own while it starts, so the turn lasts until it is ready. The token
    is a UDP port, which the system takes back however its holder ends. A holder that never ends is not
    waited for.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _LONGEST_TURN_SECONDS
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as token:
        while loop.time() < deadline:
            try:
                token.bind((HOST, _TURN_PORT))
            except OSError:
                await asyncio.sleep(0.02)
            else:
                break
        yield


def _choose(preferred: int | None, *, taken: Collection[int]) -> int:
    if preferred is not None:
        for port in range(preferred, min(preferred + _NEIGHBOURS, 65536)):
            if port not in taken and _is_free(port):
                return port
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As Temporal's listener does: connections in TIME_WAIT do not make a port busy.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
