"""DBOS: hand-written loops, each message a `@DBOS.step`, whose result is in the database before the next step.

DBOS 3.4.0 on PostgreSQL, as its documentation has it for production; on SQLite, its default, where there is none (`more` tells
which). A process that starts again resumes by itself what its executor left unfinished. No LangGraph: this is what the loop
costs when it is written by hand. Each measurement has a database of its own, which is dropped at its end.
"""

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))

import psycopg
from databases import own_database
from dbos import DBOS, SetWorkflowID
from loop import converse, fan_out
from protocol import Agent, Stack, main
from sqlalchemy import make_url

_SIZE = """
    SELECT (SELECT coalesce(sum(octet_length(coalesce(inputs, '')) + octet_length(coalesce(output, ''))), 0)
            FROM {schema}workflow_status WHERE workflow_uuid IN ({ids}))
         + (SELECT coalesce(sum(octet_length(output)), 0)
            FROM {schema}operation_outputs WHERE workflow_uuid IN ({ids}))
"""


class LoopStack(Stack):
    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = make_url(url)
        self.facts["database"] = self._url.get_backend_name()

    async def run(self, agent: Agent) -> int:
        with SetWorkflowID(agent.key):
            if agent.branches:
                handle = await DBOS.start_workflow_async(fan_out, agent.seed, agent.branches, agent.bytes)
            else:
                handle = await DBOS.start_workflow_async(converse, agent.seed, agent.steps, agent.bytes)
        return len(await handle.get_result())

    async def resume(self, agent: Agent) -> int:
        """Only waits: DBOS goes on by itself with what its executor left."""
        return len(await (await DBOS.retrieve_workflow_async(agent.key)).get_result())

    async def stored(self, agents: list[Agent]) -> dict[str, int]:
        # The keys are the runner's own, without quotes.
        ids = ", ".join(f"'{agent.key}'" for agent in agents)
        return {"checkpoint_bytes": await asyncio.to_thread(self._sum, ids)}

    def _sum(self, ids: str) -> int:
        if self.facts["database"] == "sqlite":
            with sqlite3.connect(str(self._url.database)) as connection:
                # SQLite before 3.43 has no octet_length; what DBOS stores is ASCII.
                query = _SIZE.replace("octet_length", "length").format(schema="", ids=ids)
                return int(connection.execute(query).fetchone()[0])
        with psycopg.connect(self._url.render_as_string(hide_password=False)) as connection:
            found = connection.execute(_SIZE.format(schema="dbos.", ids=ids).encode()).fetchone()
            return int(found[0]) if found else 0


@asynccontextmanager
async def opened(given: dict[str, Any]) -> AsyncIterator[LoopStack]:
    url = given["postgres"] or f"sqlite:///{Path(given['folder'], 'dbos.sqlite')}"
    DBOS(config={"name": "bench", "system_database_url": url, "log_level": "WARNING"})
    try:
        DBOS.launch()
        yield LoopStack(url)
    finally:
        await asyncio.to_thread(DBOS.destroy)


if __name__ == "__main__":
    main(opened, place=own_database)
