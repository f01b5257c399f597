"""The model: any LangChain chat model by name, or the offline one."""

import os
from collections.abc import Sequence
from typing import Any

from langchain.chat_models import init_chat_model
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from purchase.prompts import read_order
from purchase.steps import due, outcomes

__all__ = ["OfflineModel", "chat_model"]

_TIMEOUT_SECONDS = 45


def chat_model() -> BaseChatModel:
    """The model that `PERDURE_MODEL` names as `provider:model`, without retries of its own; unset: the offline model."""
    name = os.environ.get("PERDURE_MODEL")
    return init_chat_model(name, max_retries=0, timeout=_TIMEOUT_SECONDS) if name else OfflineModel()


class OfflineModel(BaseChatModel):
    """Calls the tool that is due. Without a network, deterministic, and no language model."""

    @property
    def _llm_type(self) -> str:
        return "purchase-offline"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        """It knows its tools."""
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        done = outcomes(messages)
        following = due(read_order(messages), done)
        if following is None:
            answer = AIMessage(f"Your order is on its way: {done['ship']['id']}.")
        else:
            tool, args = following
            answer = AIMessage("", tool_calls=[{"name": tool, "args": args, "id": f"call-{len(messages)}"}])
        return ChatResult(generations=[ChatGeneration(message=answer)])
