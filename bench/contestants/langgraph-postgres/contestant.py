"""LangGraph with its PostgreSQL saver: each step's checkpoint is in the database before the next step (`durability="sync"`).

langgraph-checkpoint-postgres 3.2.0: `AsyncPostgresSaver` over a connection pool, as LangGraph's documentation has it for
applications with many threads. Each measurement has a database of its own, which is dropped at its end. Nothing resumes a run
whose process died: somebody must invoke the graph again with the thread's id.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))

from databases import own_database
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from protocol import Agent, main
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from savers import SaverStack

CONNECTIONS = 20
_SIZE = """
    SELECT (SELECT coalesce(sum(octet_length(checkpoint::text) + octet_length(metadata::text)), 0)
            FROM checkpoints WHERE thread_id = ANY(%(threads)s))
         + (SELECT coalesce(sum(octet_length(blob)), 0) FROM checkpoint_blobs WHERE thread_id = ANY(%(threads)s))
         + (SELECT coalesce(sum(octet_length(blob)), 0) FROM checkpoint_writes WHERE thread_id = ANY(%(threads)s))
         AS bytes
"""


class PostgresStack(SaverStack):
    def __init__(self, saver: AsyncPostgresSaver, pool: AsyncConnectionPool[Any]) -> None:
        super().__init__(saver)
        self._pool = pool

    async def stored(self, agents: list[Agent]) -> dict[str, int]:
        async with self._pool.connection() as connection:
            rows = await connection.execute(_SIZE, {"threads": [agent.key for agent in agents]})
            found = await rows.fetchone()
        return {"checkpoint_bytes": int(found["bytes"]) if found else 0}


@asynccontextmanager
async def opened(given: dict[str, Any]) -> AsyncIterator[PostgresStack]:
    if not given["postgres"]:
        raise RuntimeError("needs a PostgreSQL server, and there is none")
    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with AsyncConnectionPool(given["postgres"], max_size=CONNECTIONS, kwargs=options) as pool:
        saver = AsyncPostgresSaver(pool)
        await saver.setup()
        yield PostgresStack(saver, pool)


if __name__ == "__main__":
    main(opened, place=own_database)
