"""Where an attempt's input comes from: this process's memory, or the workflow, page by page.

Side: activities.
"""

from __future__ import annotations

import asyncio
import base64
import zlib

from temporalio import activity
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode

from perdure.contract import names
from perdure.contract.node import InputPage, InputRequest, NodeCall, NodeInput
from perdure.graph.inputs import LiveInputs

__all__ = ["fetch_input"]

# A query is answered by a worker; while none is there (all restarting, say) it fails, and waiting is all that helps.
_TRANSIENT = frozenset(
    {
        RPCStatusCode.CANCELLED,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.FAILED_PRECONDITION,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.UNAVAILABLE,
    }
)


async def fetch_input(call: NodeCall, inputs: LiveInputs) -> NodeInput:
    """The call's input: a copy that the node may change.

    Raises:
        RPCError, WorkflowQueryFailedError: when the workflow cannot be asked, or is past this call.
    """
    info = activity.info()
    workflow_id, run_id = info.workflow_id, info.workflow_run_id
    if workflow_id is None or run_id is None:
        raise RuntimeError("a node can only run as an activity of a thread workflow")
    live = inputs.take((workflow_id, run_id, call.call))
    if live is not None:
        return live
    handle = activity.client().get_workflow_handle(workflow_id, run_id=run_id)
    first = await _page(handle, call.call, 0)
    rest = [await _page(handle, call.call, number) for number in range(1, first.pages)]
    data = zlib.decompress(base64.b64decode("".join(page.data for page in (first, *rest))))
    payload = Payload(metadata={"encoding": b"json/plain"}, data=data)
    return activity.payload_converter().from_payload(payload, NodeInput)


async def _page(handle: WorkflowHandle[object, object], call: str, number: int) -> InputPage:
    delay = 0.2
    while True:
        try:
            return await handle.query(
                names.QUERY_NODE_INPUT, InputRequest(call=call, page=number), result_type=InputPage
            )
        except WorkflowQueryFailedError:
            raise
        except RPCError as error:
            if error.status not in _TRANSIENT:
                raise
        await asyncio.sleep(delay)
        delay = min(delay * 2, 2.0)
