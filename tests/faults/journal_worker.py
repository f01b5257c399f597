"""A node that asks its model three times, and a worker process for it; the model writes each call into a file.

python journal_worker.py ADDRESS TASK_QUEUE FOLDER
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.graph import START, StateGraph
from temporalio.worker import Worker
from typing_extensions import TypedDict

from perdure import PerdurePlugin
from perdure.client.connect import connect_temporal


class State(TypedDict):
    said: list[str]


class CountingModel(BaseChatModel):
    """Answers with the number of the call; each is a line in the ledger, by whichever process."""

    ledger: Path

    @property
    def _llm_type(self) -> str:
        return "counting"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        with self.ledger.open("a") as file:
            file.write(f"{messages[-1].text} {os.getpid()}\n")
        usage = {"input_tokens": 10, "output_tokens": 1, "total_tokens": 11}
        message = AIMessage(f"answer to {messages[-1].text}", usage_metadata=usage)
        return ChatResult(generations=[ChatGeneration(message=message)])


def build(folder: Path, way: str) -> Any:
    model = CountingModel(ledger=folder / f"{way}-calls")
    mark = folder / f"{way}-waits"

    def stays() -> bool:
        """Until its process is killed; the next one finds the mark and goes on."""
        if mark.exists():
            return False
        mark.touch()
        return True

    async def node(state: State) -> State:
        said = [(await model.ainvoke(f"question{n}")).text for n in range(2)]
        if stays():
            await asyncio.sleep(60)
        return {"said": [*said, (await model.ainvoke("question2")).text]}

    def sync_node(state: State) -> State:
        said = [model.invoke(f"question{n}").text for n in range(2)]
        if stays():
            time.sleep(60)
        return {"said": [*said, model.invoke("question2").text]}

    builder = StateGraph(State)
    builder.add_node("asks", sync_node if way == "sync" else node)
    builder.add_edge(START, "asks")
    return builder.compile()


async def main(address: str, task_queue: str, folder: str) -> None:
    plugin = PerdurePlugin({way: build(Path(folder), way) for way in ("sync", "async")})
    client = await connect_temporal(address, plugins=[plugin])
    async with Worker(client, task_queue=task_queue):
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
