"""The three services as a process of their own, which outlives the agent's worker and is the truth about what it did:

    python -m purchase.services --data-dir .purchase --inventory-port 8031 --payments-port 8032 --shipping-port 8033

The first line of its output is a JSON object with `urls`, `database`, `seed` and `env`, the variables that point the
agent here. It ends at SIGTERM, at Ctrl-C, or when its standard input, unless that is a terminal, is closed. Killed and
started again on the same folder, it goes on where it was.
"""

import argparse
import asyncio
import json
import os
import signal
import threading
from pathlib import Path

from purchase.services.faults import Fault
from purchase.services.operations import SERVICES
from purchase.services.server import PurchaseServices


async def _serve(services: PurchaseServices, faults: list[Fault]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # A parent process holds the other end: when it dies, however it dies, it closes. A terminal has Ctrl-C, and would
    # stop a process that reads from it in the background.
    if not os.isatty(0):
        threading.Thread(target=_wait_for_eof, args=(loop, stop), daemon=True).start()
    async with services:
        services.faults.add(*faults)
        ready = {"urls": services.urls, "database": str(services.database), "seed": services.seed}
        print(json.dumps({**ready, "env": services.env}), flush=True)
        await stop.wait()


def _wait_for_eof(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    while os.read(0, 4096):
        pass
    loop.call_soon_threadsafe(stop.set)


def _fault(text: str) -> Fault:
    try:
        return Fault.from_json(json.loads(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def main() -> None:
    """Run the services until they are told to stop."""
    parser = argparse.ArgumentParser(prog="python -m purchase.services", description=__doc__)
    parser.add_argument("--data-dir", type=Path, default=Path(".purchase"))
    for name in SERVICES:
        parser.add_argument(f"--{name}-port", type=int, default=0)
    parser.add_argument("--seed", type=int, help="decides where faults with a probability fire")
    parser.add_argument(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="JSON",
        help='such as \'{"kind": "unavailable", "times": null, "probability": 0.1}\'; may be given several times',
    )
    options = parser.parse_args()
    ports = {name: getattr(options, f"{name}_port") for name in SERVICES}
    services = PurchaseServices(options.data_dir, ports=ports, seed=options.seed)
    try:
        asyncio.run(_serve(services, options.fault))
    except OSError as error:
        raise SystemExit(
            f"cannot start the services ({error}); choose other ports or another folder"
        ) from error


if __name__ == "__main__":
    main()
