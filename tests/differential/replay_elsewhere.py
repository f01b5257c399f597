"""Replays recorded histories in a process of its own: `python replay_elsewhere.py FOLDER`.

The folder holds `specs.pickle` (the specs of random graphs; cases by hand are known by name) and `NAME.json` histories.
Prints as JSON how many it replayed, and what went wrong, by name.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from cases import CASES
from drawing import case_of
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from perdure import PerdurePlugin


async def replay_all(folder: Path) -> dict[str, Any]:
    specs = pickle.loads((folder / "specs.pickle").read_bytes())
    cases = CASES | {name: case_of(spec) for name, spec in specs.items()}
    names = sorted(path.stem for path in folder.glob("*.json"))  # noqa: ASYNC240 - a script
    graphs = {name: cases[name].build([]) for name in names}
    replayer = Replayer(workflows=[], plugins=[PerdurePlugin(graphs)])

    recorded = {
        name: WorkflowHistory.from_json(name, (folder / f"{name}.json").read_text()) for name in names
    }

    async def histories() -> AsyncIterator[WorkflowHistory]:
        for history in recorded.values():
            yield history

    results = await replayer.replay_workflows(histories(), raise_on_replay_failure=False)
    by_run = {history.run_id: name for name, history in recorded.items()}
    failures = {by_run[run_id]: repr(error) for run_id, error in results.replay_failures.items()}
    return {"replayed": len(recorded), "failures": failures}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(replay_all(Path(sys.argv[1])))))
