"""Dev server side: the small process between Perdure and its Temporal server.

Run as a script (standard library only, so that it starts in milliseconds). Owns one server process and
the state file that announces it. Invariants:

- The server ends when the keeper's stdin closes, which is how its owner asks for it and what the
  kernel does when the owner dies in any way, ``kill -9`` included.
- The keeper ends when the server does, with its exit code.
- The state file is gone before the server is asked to stop, and after it has ended.

Does not restart anything. Killed itself with ``kill -9``, it leaves the server running; the server still
holds the directory's lock, so a second one is refused and the refusal names the process to end.

Arguments: state file, lock descriptor to pass on, seconds of grace between SIGTERM and SIGKILL
(0: SIGKILL at once), then the server's command line. Writes the server's pid to stdout; stderr is the
server's log.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn


def main(state_file: str, lock_descriptor: str, grace_seconds: str, *command: str) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    state = Path(state_file)
    server = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        stderr=sys.stderr,
        pass_fds=[int(lock_descriptor)],
    )
    ending = threading.Thread(target=_end_with, args=(server, state), daemon=True)
    ending.start()
    try:
        print(server.pid, flush=True)  # noqa: T201
        sys.stdin.buffer.read()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        state.unlink(missing_ok=True)
        if grace := float(grace_seconds):
            server.terminate()
            time.sleep(grace)  # cut short by `_end_with`
        server.kill()
        ending.join()


def _end_with(server: subprocess.Popen[bytes], state: Path) -> NoReturn:
    code = server.wait()
    state.unlink(missing_ok=True)
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main(*sys.argv[1:])
