"""A Redis of a test's own, on a free loopback port; it can be killed and started again. With TLS and a password, too."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest

__all__ = ["RedisServer", "self_signed"]


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, and its key."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("needs openssl")
    certificate, key = folder / "redis.crt", folder / "redis.key"
    command = [
        program, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=redis",
        "-addext", "subjectAltName=IP:127.0.0.1", "-out", str(certificate), "-keyout", str(key),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


class RedisServer:
    """With `persistent`, what it holds survives a kill. `tls`: a certificate and its key; `more`: options of its command line.
    `url` is its address."""

    def __init__(
        self,
        folder: Path,
        *,
        persistent: bool = False,
        tls: tuple[Path, Path] | None = None,
        more: list[str] | None = None,
    ) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("needs redis-server")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.url = f"{'rediss' if tls else 'redis'}://127.0.0.1:{self.port}"
        ports = ["--port", str(self.port)]
        if tls:
            ports = ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"]
            ports += ["--tls-cert-file", str(tls[0]), "--tls-key-file", str(tls[1])]
        self._tls = tls is not None
        self._command = [
            program, *ports, *(more or []), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder),
            "--appendonly", "yes" if persistent else "no", "--appendfsync", "always",
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while True:
            try:
                with self._connected() as connection:
                    connection.sendall(b"PING\r\n")
                    if connection.recv(100).startswith((b"+PONG", b"-NOAUTH")):
                        return
            except OSError:
                pass
            assert time.monotonic() < deadline, "redis-server does not come up"
            time.sleep(0.02)

    def _connected(self) -> socket.socket:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=1)
        if not self._tls:
            return plain
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context.wrap_socket(plain)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def restart(self) -> None:
        self.kill()
        self.start()
