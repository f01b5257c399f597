"""What became of a node's model calls: answers that are empty, cut off or refused do not pass for good ones unseen.

Side: activities. Each model call that LangChain makes within an attempt is looked at. What is wrong with its answer is noted,
for the history and `perdure show`; for a node that asks for `model_output="complete"` the call raises it instead.

Not seen: calls that a node makes without LangChain.
"""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from perdure._compat import PregelNode
from perdure._compat_models import reach_clients
from perdure.contract.policy import METADATA_KEY, DurableOptions, ModelOutput
from perdure.graph.model_output import output_problem

__all__ = ["ModelOutputs"]


class ModelOutputs(BaseCallbackHandler):
    """A callback handler for one attempt. `notes` names what was wrong, call by call."""

    run_inline = True

    def __init__(self, asked: ModelOutput) -> None:
        self.notes: list[str] = []
        self.raise_error = asked == "complete"

    @classmethod
    def of(cls, node: PregelNode, default: ModelOutput) -> ModelOutputs:
        """As the node's `durable(...)` asks for it, or else the worker."""
        options = (node.metadata or {}).get(METADATA_KEY)
        declared = options.model_output if isinstance(options, DurableOptions) else None
        return cls(declared or default)

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        reach_clients()  # the node itself may have imported its provider's

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        for generation in (each for prompt in response.generations for each in prompt):
            if not isinstance(generation, ChatGeneration) or not isinstance(generation.message, AIMessage):
                continue
            problem = output_problem(
                generation.message, generation.generation_info or response.llm_output or {}
            )
            if problem is None:
                continue
            self.notes.append(type(problem).__name__)
            if self.raise_error:
                raise problem
