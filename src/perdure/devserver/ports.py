"""Dev server side: loopback ports.

Owns the choice of free ports. A port found free can be taken by another process before the server
binds it: the caller starts again with other ports when that happens.
"""

import socket
from collections.abc import Collection
from dataclasses import dataclass

HOST = "127.0.0.1"
_NEIGHBOURS = 100


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
