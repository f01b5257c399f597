"""Dev server side: one running server process and its keeper, independent of any event loop.

Owns the pair's start and end. Invariant: whatever happens to this process, the server does not outlive
it (see `keeper`). The pair has its own session, so Ctrl-C in the terminal does not reach it: it stops when
its owner says so, after workers have had their chance.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from perdure.errors import PerdureError

_KEEPER = Path(__file__).with_name("keeper.py")
_MARGIN = timedelta(seconds=5)
_LOG_TAIL_BYTES = 65_536
_LOG_TAIL_LINES = 12
_PORT_TAKEN = "address already in use"
_CRASH = "panic: "


class DevServerError(PerdureError):
    """The dev server did not do as asked; the message quotes its log or says what to change."""


class PortTakenError(DevServerError):
    """Another process took a port between the choice and the start, or the server crashed in its own search for free ones.
    Other ports help."""


class ServerProcess:
    """A server process, started by construction.

    Args:
        command: the server's command line.
        log: file that its output is appended to.
        state: file for the keeper to remove when the server goes.
        lock: descriptor that keeper and server inherit.
        grace: time between SIGTERM and SIGKILL; zero is SIGKILL at once.
    """

    def __init__(
        self, command: Sequence[str], *, log: Path, state: Path, lock: int, grace: timedelta
    ) -> None:
        self._log = log
        self._log_start_bytes = log.stat().st_size if log.exists() else 0
        self._stop_bound = grace + _MARGIN
        keeper = [sys.executable, "-I", "-S", str(_KEEPER)]
        with log.open("ab") as output:
            self._keeper = subprocess.Popen(
                [*keeper, str(state), str(lock), str(grace.total_seconds()), *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                pass_fds=[lock],
                start_new_session=True,
            )
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        self._leash = self._keeper.stdin
        with self._keeper.stdout as answer:
            # Of the server itself; 0 if it could not be executed: the keeper ends and the log says why.
            self.pid = int(answer.readline() or 0)

    def exit_code(self) -> int | None:
        """None while the server runs; 128 + the signal's number if one ended it."""
        return self._keeper.poll()

    def failure(self, problem: str) -> DevServerError:
        """The error that says the server has this problem, with the last lines of its log, or those that tell of its crash."""
        with self._log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(self._log_start_bytes, size - _LOG_TAIL_BYTES))
            log = file.read().decode(errors="replace")
        lines = log.splitlines()
        crash = next((n for n, line in enumerate(lines) if line.startswith(_CRASH)), None)
        # Of a crash the first lines tell what it was; the last ones are the end of a stack.
        told = lines[-_LOG_TAIL_LINES:] if crash is None else lines[crash : crash + _LOG_TAIL_LINES]
        quoted = "\n".join(f"    {line}" for line in told) or "    (nothing)"
        kind = PortTakenError if _PORT_TAKEN in log or crash is not None else DevServerError
        says = "ends with" if crash is None else "says"
        return kind(f"Temporal's dev server {problem}. Its log, {str(self._log)!r}, {says}:\n{quoted}")

    def release(self) -> None:
        """Ask the server to stop, without waiting. Nothing can go wrong after this."""
        self._leash.close()

    def stop(self) -> None:
        """Stop the server and wait until it is gone. Blocks; may be called again, from any thread."""
        self.release()
        try:
            self._keeper.wait(self._stop_bound.total_seconds())
        except subprocess.TimeoutExpired:
            self._kill_group()
            self._keeper.wait()
        if (self._keeper.returncode or 0) < 0:  # the keeper itself was killed: the server may be left
            self._kill_group()

    def _kill_group(self) -> None:
        try:
            os.killpg(self._keeper.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
