"""The input of a `@task` call: its node's, with what is different for the task.

Side: both.
"""

from __future__ import annotations

from dataclasses import replace

from perdure._compat import CONFIG_KEY_CHECKPOINT_NS, CONFIG_KEY_RESUMING, CONFIG_KEY_TASK_ID, NS_END
from perdure.contract.node import NodeInput
from perdure.contract.task import TaskInput

__all__ = ["task_input"]


def task_input(base: NodeInput, name: str, given: TaskInput) -> NodeInput:
    """`base` is the input of the node call in which the task, or the task that calls it, is called."""
    configurable = {
        **base.config["configurable"],
        CONFIG_KEY_TASK_ID: given.id,
        CONFIG_KEY_CHECKPOINT_NS: given.namespace,
        CONFIG_KEY_RESUMING: any(NS_END in saved.namespace for saved in given.nested),
    }
    metadata = {
        **base.config["metadata"],
        "langgraph_node": name,
        "langgraph_checkpoint_ns": given.namespace,
    }
    return NodeInput(
        value={"args": given.args, "kwargs": given.kwargs},
        config={**base.config, "configurable": configurable, "metadata": metadata, "run_name": name},
        context=base.context,
        scratch=replace(base.scratch, resume=given.resume),
        nested=given.nested,
    )
