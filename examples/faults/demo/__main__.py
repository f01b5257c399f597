"""`python -m faults.demo`. Ctrl-C ends it at any moment, with all that it started, and without a traceback."""

import signal
import sys


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        # Here, because these imports take a second in which Ctrl-C may come.
        from faults.demo.command import run  # noqa: PLC0415

        return run()
    except KeyboardInterrupt:
        print("\ninterrupted; nothing is left running", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
