"""A PostgreSQL server of the benchmark's own, on loopback, gone with it."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SECONDS = 60


@contextmanager
def postgres() -> Generator[tuple[str, str] | None]:
    """Its DSN and version; None where `initdb` is not on the PATH.

    A commit survives the death of any process and not a power cut (`synchronous_commit=off`), which is what the SQLite file of
    Temporal's dev server promises (WAL, `synchronous=NORMAL`).
    """
    initdb = shutil.which("initdb")
    if initdb is None:
        yield None
        return
    # Postgres refuses to run as root; its folder must be reachable for whoever it runs as.
    user: dict[str, Any] = {"user": "nobody"} if os.getuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="perdure-bench-postgres-"))
    try:
        if user:
            shutil.chown(folder, "nobody")
        server = Path(os.path.realpath(initdb)).with_name("postgres")
        data, port = str(folder / "data"), _free_port()
        init = [initdb, "-D", data, "-U", "bench", "--auth=trust", "--no-sync", "--encoding=UTF8"]
        subprocess.run(init, check=True, capture_output=True, cwd=folder, **user)
        options = ["-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", str(folder)]
        settings = ["-c", "synchronous_commit=off", "-c", "max_connections=300"]
        log = subprocess.DEVNULL
        with subprocess.Popen(
            [server, *options, *settings], cwd=folder, stdout=log, stderr=log, **user
        ) as process:
            try:
                _wait_for(process, port)
                version = subprocess.run([server, "--version"], capture_output=True, text=True, check=True)
                yield f"postgresql://bench@127.0.0.1:{port}/postgres", version.stdout.split()[2]
            finally:
                process.send_signal(signal.SIGINT)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def _wait_for(process: subprocess.Popen[Any], port: int) -> None:
    end = time.monotonic() + _SECONDS
    while process.poll() is None and time.monotonic() < end:
        ready = subprocess.run(
            [shutil.which("pg_isready") or "true", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False
        )
        if ready.returncode == 0:
            return
        time.sleep(0.1)
    raise RuntimeError("PostgreSQL does not answer")
