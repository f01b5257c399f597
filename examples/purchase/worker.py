"""The agent's worker, for both forms: `python -m purchase.worker`.

Where Temporal is comes from its own settings (`TEMPORAL_ADDRESS`, …) or `--address`, where the services are from
`PURCHASE_…_URL`. When it is ready it prints one JSON line with `model`. It ends at Ctrl-C, and when its standard input,
unless that is a terminal, is closed.
"""

import argparse
import asyncio
import json
import os
import threading
from datetime import timedelta
from pathlib import Path

from temporalio.worker import Worker

from perdure import PerdurePlugin, connect
from perdure.errors import PerdureError
from perdure.graph.project import load_project
from purchase.activities import ACTIVITIES
from purchase.model import chat_model
from purchase.workflow import PurchaseAgent

_PROJECT = Path(__file__).parent
_WAIT = timedelta(seconds=30)


async def work(address: str | None, task_queue: str) -> None:
    """Work until told to stop."""
    chat_model()  # a model that cannot work should be said now, not in the first step
    graphs = await load_project(_PROJECT).aload()
    client = await connect(address, plugins=[PerdurePlugin(graphs)], wait=_WAIT)
    worker = Worker(
        client.temporal, task_queue=task_queue, workflows=[PurchaseAgent], activities=list(ACTIVITIES)
    )
    async with worker:
        model = os.environ.get("PERDURE_MODEL") or "offline (it calls the tool that is due)"
        print(json.dumps({"model": model}), flush=True)
        await asyncio.Event().wait()


def _die_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m purchase.worker", description=__doc__)
    parser.add_argument("--address", help="Temporal's host:port")
    parser.add_argument("--task-queue", default="purchase")
    options = parser.parse_args()
    if not os.isatty(0):
        threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        asyncio.run(work(options.address, options.task_queue))
    except KeyboardInterrupt:
        pass
    except (PerdureError, ImportError, ValueError) as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
