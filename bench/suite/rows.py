"""One module of bench/ in a process of its own: its rows, as the last line of stdout.

python bench/suite/rows.py NAME '<options>'
"""

import asyncio
import importlib
import inspect
import json
import signal
import sys
from pathlib import Path
from typing import Any


def rows(name: str, options: dict[str, Any]) -> dict[str, Any]:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    module = importlib.import_module(name)
    if not hasattr(module, "measure"):
        return {"ok": False, "error": f"bench/{name}.py has no measure()"}
    found = module.measure(options)
    return {"ok": True} | (asyncio.run(found) if inspect.iscoroutine(found) else found)


if __name__ == "__main__":
    # So that what it has started ends with it.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    told = json.dumps(rows(sys.argv[1], json.loads(sys.argv[2])))
    sys.stdout.write(f"\n{told}\n")
