"""LangGraph with its SQLite saver: each step's checkpoint is in the database before the next step (`durability="sync"`).

langgraph-checkpoint-sqlite 3.1.2, as its README shows it: one `AsyncSqliteSaver` (one connection) for all threads, with its own
settings (write-ahead log). Nothing resumes a run whose process died: somebody must invoke the graph again with the thread's id.
"""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from protocol import Agent, main
from savers import SaverStack

_SIZE = """
    SELECT (SELECT coalesce(sum(length(checkpoint) + length(metadata)), 0) FROM checkpoints
            WHERE thread_id IN (SELECT value FROM json_each(:threads)))
         + (SELECT coalesce(sum(length(value)), 0) FROM writes
            WHERE thread_id IN (SELECT value FROM json_each(:threads)))
"""


class SqliteStack(SaverStack):
    saver: AsyncSqliteSaver

    async def stored(self, agents: list[Agent]) -> dict[str, int]:
        threads = json.dumps([agent.key for agent in agents])
        async with self.saver.conn.execute(_SIZE, {"threads": threads}) as rows:
            found = await rows.fetchone()
        return {"checkpoint_bytes": found[0] if found else 0}


@asynccontextmanager
async def opened(given: dict[str, Any]) -> AsyncIterator[SqliteStack]:
    async with AsyncSqliteSaver.from_conn_string(str(Path(given["folder"], "checkpoints.sqlite"))) as saver:
        await saver.setup()
        yield SqliteStack(saver)


if __name__ == "__main__":
    main(opened)
