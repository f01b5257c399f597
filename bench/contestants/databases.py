"""A PostgreSQL database for one measurement, gone with it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict


@asynccontextmanager
async def own_database(given: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """The parameters with the new database's URL instead of the server's; unchanged where there is no server."""
    if not given["postgres"]:
        yield given
        return
    name = "bench_" + re.sub(r"\W", "_", given["id"])
    parts = conninfo_to_dict(given["postgres"])
    user = f"{parts['user']}:{parts['password']}" if "password" in parts else parts["user"]
    async with await AsyncConnection.connect(given["postgres"], autocommit=True) as connection:
        await connection.execute(f'CREATE DATABASE "{name}"'.encode())
        try:
            yield given | {"postgres": f"postgresql://{user}@{parts['host']}:{parts['port']}/{name}"}
        finally:
            # The connections of killed processes may still be there.
            await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())
