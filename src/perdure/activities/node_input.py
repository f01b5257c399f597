"""Where an attempt's input comes from: this process's memory, or the workflow, page by page.

Side: activities.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace

from temporalio import activity
from temporalio.api.common.v1 import Payload

from perdure.activities.asking import Questions
from perdure.contract import names
from perdure.contract.node import InputPage, InputRequest, NodeCall, NodeInput
from perdure.contract.task import TaskCall
from perdure.graph.inputs import LiveInputs
from perdure.graph.task_input import task_input

__all__ = ["NodeInputs"]

_Key = tuple[str, str, str]


class NodeInputs:
    """One per worker."""

    def __init__(self, live: LiveInputs, questions: Questions) -> None:
        self._live = live
        self._questions = questions
        # Of the nodes that are run here now: what their tasks have in common with them.
        self._common: dict[_Key, NodeInput] = {}

    async def fetch(self, call: NodeCall) -> tuple[NodeInput, bool]:
        """The call's input, a copy that the node may change; and whether the workflow was in this process.

        Raises:
            RPCError, WorkflowQueryFailedError: when the workflow cannot be asked, or is past this call.
        """
        live = self._live.take(_key(call.call))
        if live is not None:
            return live, True
        if isinstance(call, TaskCall) and call.input is not None:
            common = self._common.get(_key(call.call.partition(".")[0]))
            if common is not None:
                return task_input(common, call.path[-1], call.input), False
        return await self._ask(call.call), False

    @contextmanager
    def held(self, call: NodeCall, given: NodeInput) -> Generator[None]:
        """While an attempt runs here, its tasks need not ask for what it was given."""
        key = _key(call.call)
        self._common[key] = replace(given, value=None, nested=[], channels=None)
        try:
            yield
        finally:
            self._common.pop(key, None)

    async def _ask(self, call: str) -> NodeInput:
        workflow_id, run_id, _ = _key(call)
        handle = activity.client().get_workflow_handle(workflow_id, run_id=run_id)

        async def page(number: int) -> InputPage:
            request = InputRequest(call=call, page=number)
            return await self._questions.ask(handle, names.QUERY_NODE_INPUT, request, InputPage)

        first = await page(0)
        rest = [await page(number) for number in range(1, first.pages)]
        data = zlib.decompress(base64.b64decode("".join(part.data for part in (first, *rest))))
        payload = Payload(metadata={"encoding": b"json/plain"}, data=data)
        return activity.payload_converter().from_payload(payload, NodeInput)


def _key(call: str) -> _Key:
    info = activity.info()
    if info.workflow_id is None or info.workflow_run_id is None:
        raise RuntimeError("a node can only run as an activity of a thread workflow")
    return info.workflow_id, info.workflow_run_id, call
