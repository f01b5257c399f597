"""A workflow that is dropped half-way is closed by the garbage collector, in a context that is not its own: quietly."""

from __future__ import annotations

import asyncio
import contextvars
from contextlib import AbstractContextManager

import pytest
from temporalio import workflow

from perdure.graph.channels import going_on
from perdure.graph.inline import graph_scope


@pytest.mark.parametrize("scope", [graph_scope, lambda: going_on(True)], ids=["graph_scope", "going_on"])
def test_closing_it_in_another_context_raises_nothing(scope, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workflow, "in_workflow", lambda: True)
    failures: list[Exception] = []

    async def run(opened: AbstractContextManager[None]) -> None:
        try:
            with opened:
                await asyncio.get_running_loop().create_future()
        except Exception as error:
            failures.append(error)

    async def drop() -> None:
        dropped = run(scope())
        contextvars.copy_context().run(dropped.send, None)
        dropped.close()

    asyncio.run(drop())
    assert failures == []
