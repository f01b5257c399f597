"""`create_agent` with middleware of every hook kind, structured output, injected tools and human decisions."""

from __future__ import annotations

import operator
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import pytest
from langchain.agents import AgentState, create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    ClearToolUsesEdit,
    ContextEditingMiddleware,
    HumanInTheLoopMiddleware,
    LLMToolEmulator,
    LLMToolSelectorMiddleware,
    ModelCallLimitMiddleware,
    ModelFallbackMiddleware,
    ModelRequest,
    ModelResponse,
    ModelRetryMiddleware,
    PIIMiddleware,
    SummarizationMiddleware,
    TodoListMiddleware,
    ToolCallLimitMiddleware,
    ToolRetryMiddleware,
    after_agent,
    after_model,
    before_agent,
    before_model,
    dynamic_prompt,
    hook_config,
    wrap_model_call,
    wrap_tool_call,
)
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain.tools import ToolRuntime
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState, InjectedStore
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, interrupt
from pydantic import BaseModel

from perdure.contract.policy import HANDOVERS
from perdure.testing import PerdureEnvironment, ScriptedChatModel


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    if city == "Atlantis":
        raise LookupError("no such city")
    return f"sunny in {city}"


@tool
def pay(amount: int) -> str:
    """Pay an amount."""
    return f"paid {amount}"


def ask(city: str = "Oslo") -> dict[str, Any]:
    return {"tool": "weather", "args": {"city": city}}


HI: dict[str, Any] = {"messages": [("user", "hi")]}


def agent(
    script: list[Any], *middleware: Any, tools: Any = (weather, pay), **options: Any
) -> Callable[[], Any]:
    """A function that makes the agent anew, with a script that has not been played."""
    return lambda: create_agent(
        ScriptedChatModel(script), list(tools), middleware=list(middleware), **options
    )


def texts(result: dict[str, Any]) -> list[str]:
    return [message.text for message in result["messages"]]


# -- hooks ---------------------------------------------------------------------------------------------------------------


class Trace(AgentState):
    trace: Annotated[list[str], operator.add]


class Classes(AgentMiddleware[Trace, Any]):
    state_schema = Trace
    tools: ClassVar[list[Any]] = [pay]

    def before_agent(self, state: Trace, runtime: Runtime[Any]) -> dict[str, Any]:
        return {"trace": ["before agent"]}

    def before_model(self, state: Trace, runtime: Runtime[Any]) -> dict[str, Any]:
        return {"trace": [f"before model: {len(state['messages'])}"]}

    async def aafter_model(self, state: Trace, runtime: Runtime[Any]) -> dict[str, Any]:
        return {"trace": [f"after model: {state['messages'][-1].type}"]}

    async def aafter_agent(self, state: Trace, runtime: Runtime[Any]) -> dict[str, Any]:
        return {"trace": ["after agent"]}

    async def awrap_model_call(
        self, request: ModelRequest, handler: Callable[[ModelRequest], Awaitable[ModelResponse]]
    ) -> ModelResponse:
        response = await handler(request)
        [message] = response.result
        return ModelResponse(result=[message.model_copy(update={"content": f"wrapped {message.content}"})])

    async def awrap_tool_call(self, request: Any, handler: Any) -> ToolMessage:
        message = await handler(request)
        return message.model_copy(update={"content": f"{message.content}!"})


@pytest.mark.compat(
    "Agents: middleware with every hook, as classes and functions; `jump_to`; the built-in ones"
)
async def test_every_hook_of_a_middleware_class(same: Any) -> None:
    result = await same(agent([ask(), "done"], Classes()), {**HI, "trace": []})
    assert result["trace"] == [
        "before agent",
        "before model: 1",
        "after model: ai",
        "before model: 3",
        "after model: ai",
        "after agent",
    ]
    assert texts(result)[1:] == ["wrapped ", "sunny in Oslo!", "wrapped done"]


@before_agent(state_schema=Trace)
def start(state: Trace, runtime: Runtime[Any]) -> dict[str, Any]:
    return {"trace": ["start"]}


@before_model(state_schema=Trace)
async def before(state: Trace, runtime: Runtime[Any]) -> dict[str, Any]:
    return {"trace": ["before"]}


@after_model(state_schema=Trace)
def after(state: Trace, runtime: Runtime[Any]) -> dict[str, Any]:
    return {"trace": ["after"]}


@after_agent(state_schema=Trace)
async def end(state: Trace, runtime: Runtime[Any]) -> dict[str, Any]:
    return {"trace": ["end"]}


@wrap_model_call
async def twice(request: ModelRequest, handler: Any) -> Any:
    await handler(request)
    return await handler(request)


@wrap_tool_call
async def forbid(request: Any, handler: Any) -> Any:
    if request.tool_call["name"] == "pay":
        return ToolMessage("not allowed", tool_call_id=request.tool_call["id"])
    return await handler(request)


@dynamic_prompt
def prompt(request: ModelRequest) -> str:
    return f"You speak with {request.runtime.context['user']}; {len(request.messages)} messages."


async def test_every_hook_as_a_decorated_function(same: Any) -> None:
    calls = [{"tool": "pay", "args": {"amount": 3}}, ask()]
    make = agent(["thrown away", calls, "thrown away", "done"], start, before, after, end, twice, forbid)
    result = await same(make, {**HI, "trace": []})
    assert result["trace"] == ["start", "before", "after", "before", "after", "end"]
    assert texts(result)[2:] == ["not allowed", "sunny in Oslo", "done"]


async def test_a_dynamic_prompt_sees_state_and_context() -> None:
    model = ScriptedChatModel([ask(), "done"])
    graph = create_agent(model, [weather], middleware=[prompt], context_schema=dict)
    async with PerdureEnvironment.start({"g": graph}) as env:
        await (await env.start("g", HI, context={"user": "ann"})).result()
    assert [call.messages[0].text for call in model.calls] == [
        "You speak with ann; 1 messages.",
        "You speak with ann; 3 messages.",
    ]


@before_model(can_jump_to=["end"])
def stop_when_long(state: AgentState, runtime: Runtime[Any]) -> dict[str, Any] | None:
    if len(state["messages"]) < 3:
        return None
    return {"messages": [AIMessage("enough")], "jump_to": "end"}


class Again(AgentMiddleware[AgentState, Any]):
    @hook_config(can_jump_to=["model", "tools"])
    def after_model(self, state: AgentState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        if state["messages"][-1].text == "bad":
            return {"messages": [HumanMessage("again, please")], "jump_to": "model"}
        if state["messages"][-1].text == "call":
            call = {"name": "weather", "args": {"city": "Rome"}, "id": "forced"}
            return {"messages": [AIMessage("", tool_calls=[call])], "jump_to": "tools"}
        return None


async def test_jump_to(same: Any) -> None:
    result = await same(agent([ask(), "never said"], stop_when_long), HI)
    assert texts(result)[-1] == "enough"
    result = await same(agent(["bad", "call", "good"], Again()), HI)
    assert texts(result) == ["hi", "bad", "again, please", "call", "", "sunny in Rome", "good"]


# -- built-in middleware -------------------------------------------------------------------------------------------------

LONG = {"messages": [("user", "one"), ("ai", "two"), ("user", "three"), ("ai", "four"), ("user", "five")]}
PAYMENT = {"tool": "pay", "args": {"amount": 1}}
MANY = [ask("Rome"), ask("Oslo"), PAYMENT]
CITY = "mail me at ann@example.org"

BUILT_IN: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "summarization": (
        agent(
            [ask(), "done"],
            SummarizationMiddleware(
                ScriptedChatModel(reply_to=lambda messages: "a summary"),
                trigger=("messages", 4),
                keep=("messages", 2),
            ),
        ),
        LONG,
    ),
    "context editing": (
        agent(
            [ask(), ask("Rome"), ask("Bern"), "done"],
            ContextEditingMiddleware(edits=[ClearToolUsesEdit(trigger=1, keep=1)]),
        ),
        HI,
    ),
    "todo list": (
        agent(
            [
                {"tool": "write_todos", "args": {"todos": [{"content": "look", "status": "in_progress"}]}},
                {"tool": "write_todos", "args": {"todos": [{"content": "look", "status": "completed"}]}},
                "done",
            ],
            TodoListMiddleware(),
        ),
        HI,
    ),
    "pii redacted": (
        agent(["write to bob@example.org"], PIIMiddleware("email", apply_to_output=True)),
        {"messages": [("user", CITY)]},
    ),
    "pii blocked": (
        agent(["never"], PIIMiddleware("email", strategy="block")),
        {"messages": [("user", CITY)]},
    ),
    "tool calls of a run": (agent([MANY, MANY, "done"], ToolCallLimitMiddleware(run_limit=2)), HI),
    "calls of one tool": (
        agent([MANY, MANY, "done"], ToolCallLimitMiddleware(tool_name="pay", run_limit=1)),
        HI,
    ),
    "too many tool calls": (agent([MANY], ToolCallLimitMiddleware(run_limit=1, exit_behavior="error")), HI),
    "model calls": (agent([ask(), ask(), ask()], ModelCallLimitMiddleware(run_limit=2)), HI),
    "too many model calls": (
        agent([ask(), ask()], ModelCallLimitMiddleware(run_limit=1, exit_behavior="error")),
        HI,
    ),
    "model retry": (
        agent([ConnectionError("down"), "up"], ModelRetryMiddleware(initial_delay=0.01, jitter=False)),
        HI,
    ),
    "model fallback": (
        agent(
            [ConnectionError("down")],
            ModelFallbackMiddleware(ScriptedChatModel(reply_to=lambda messages: "the other one")),
        ),
        HI,
    ),
    "tool retry": (
        agent(
            [ask("Atlantis"), "done"], ToolRetryMiddleware(max_retries=1, initial_delay=0.01, jitter=False)
        ),
        HI,
    ),
    "tool selector": (
        agent(
            [ask(), "done"],
            LLMToolSelectorMiddleware(
                model=ScriptedChatModel(
                    reply_to=lambda messages: {
                        "tool": "ToolSelectionResponse",
                        "args": {"tools": ["weather"]},
                    }
                )
            ),
        ),
        HI,
    ),
    "tool emulator": (
        agent(
            [ask(), "done"],
            LLMToolEmulator(tools=["weather"], model=ScriptedChatModel(reply_to=lambda messages: "it rains")),
        ),
        HI,
    ),
}


@pytest.mark.compat(
    "Agents: middleware with every hook, as classes and functions; `jump_to`; the built-in ones"
)
@pytest.mark.parametrize("name", list(BUILT_IN))
async def test_built_in_middleware(same: Any, name: str) -> None:
    await same(*BUILT_IN[name])


async def test_a_runs_limits_hold_across_continuing_as_new(same: Any) -> None:
    make = agent([ask()] * 9, ModelCallLimitMiddleware(run_limit=3))
    result = await same(make, HI, carry_every=1)
    assert len([m for m in result["messages"] if m.type == "tool"]) == 3


# -- structured output ---------------------------------------------------------------------------------------------------


class Report(BaseModel):
    city: str
    degrees: int


@dataclass
class Short:
    city: str


GOOD = {"tool": "Report", "args": {"city": "Oslo", "degrees": 7}}


async def test_structured_output_by_tool_calls_is_asked_for_again_when_it_does_not_fit(same: Any) -> None:
    bad = {"tool": "Report", "args": {"city": "Oslo", "degrees": "warm"}}
    result = await same(agent([ask(), bad, GOOD], response_format=ToolStrategy(Report)), HI)
    assert result["structured_response"] == Report(city="Oslo", degrees=7)
    short = {"tool": "Short", "args": {"city": "Rome"}}
    either = ToolStrategy(Report | Short)
    assert (await same(agent([short], response_format=either), HI))["structured_response"] == Short("Rome")


@pytest.mark.compat("Agents: `create_agent` with tools, parallel calls, structured output")
async def test_structured_output_by_the_provider(same: Any) -> None:
    text = '{"city": "Oslo", "degrees": 7}'
    result = await same(agent([ask(), text], response_format=ProviderStrategy(Report)), HI)
    assert result["structured_response"] == Report(city="Oslo", degrees=7)
    schema = {"title": "report", "type": "object", "properties": {"city": {"type": "string"}}}
    result = await same(agent(['{"city": "Oslo"}'], response_format=ProviderStrategy(schema)), HI)
    assert result["structured_response"] == {"city": "Oslo"}


async def test_provider_output_that_does_not_fit_is_asked_for_again(durably: Any) -> None:
    """LangGraph fails at once; here an answer that does not parse is a failed attempt of the model's node."""
    make = agent(["no json", '{"city": "Oslo", "degrees": 7}'], response_format=ProviderStrategy(Report))
    assert (await durably(make, HI))["structured_response"] == Report(city="Oslo", degrees=7)


# -- tools ---------------------------------------------------------------------------------------------------------------


class Notes(AgentState):
    notes: Annotated[list[str], operator.add]


@tool
def by_state(
    state: Annotated[Notes, InjectedState], last: Annotated[list[str], InjectedState("notes")]
) -> str:
    """Read the state."""
    return f"{len(state['messages'])} messages, {last}"


@tool
def by_store(text: str, store: Annotated[BaseStore, InjectedStore()]) -> str:
    """Write to the store."""
    store.put(("notes",), text, {"text": text})
    return f"stored {[item.key for item in store.search(('notes',))]}"


@tool
async def by_runtime(text: str, runtime: ToolRuntime) -> Command[Any]:
    """Use everything of the runtime."""
    assert runtime.store is not None
    runtime.stream_writer({"progress": 1})
    item = await runtime.store.aget(("notes",), "stored")
    seen = f"{text} {runtime.context['user']} {runtime.config['configurable']['mine']} {item and item.value['text']}"
    message = ToolMessage(f"saw {len(runtime.state['messages'])}", tool_call_id=runtime.tool_call_id)
    return Command(update={"notes": [seen], "messages": [message]})


@tool
def by_call_id(tool_call_id: Annotated[str, InjectedToolCallId]) -> str:
    """Its own id."""
    return tool_call_id


@pytest.mark.compat("Agents: `InjectedState`, `InjectedStore`, `InjectedToolCallId`, `ToolRuntime`")
async def test_what_is_injected_into_tools(same: Any) -> None:
    calls = [
        [{"tool": "by_store", "args": {"text": "stored"}}, {"tool": "by_call_id", "args": {}}],
        [{"tool": "by_state", "args": {}}, {"tool": "by_runtime", "args": {"text": "hello"}}],
        "done",
    ]

    def make() -> Any:
        tools = [by_state, by_store, by_runtime, by_call_id]
        return create_agent(
            ScriptedChatModel(calls), tools, state_schema=Notes, context_schema=dict, store=InMemoryStore()
        )

    config = {"configurable": {"mine": 7, "thread_id": "t"}}
    result = await same(make, {**HI, "notes": ["first"]}, config=config, context={"user": "ann"})
    assert result["notes"] == ["first", "hello ann 7 stored"]
    assert texts(result)[2:4] == ["stored ['stored']", "call_2"]
    assert "5 messages, ['first']" in texts(result)[5]


async def test_tools_that_fail_and_calls_that_do_not_fit(same: Any) -> None:
    assert (await same(agent([ask("Atlantis"), "done"]), HI)).cause_type == "LookupError"
    unknown = {"tool": "nothing", "args": {}}
    wrong = {"tool": "pay", "args": {"amount": "much"}}
    result = await same(agent([[unknown, wrong, ask()], "done"]), HI)
    assert [m.status for m in result["messages"] if isinstance(m, ToolMessage)] == [
        "error",
        "error",
        "success",
    ]


async def test_many_parallel_tool_calls_keep_their_order(same: Any) -> None:
    cities = [f"city {n}" for n in range(20)]
    result = await same(agent([[ask(city) for city in cities], "done"]), HI)
    assert texts(result)[2:-1] == [f"sunny in {city}" for city in cities]


async def test_tools_that_ask(same: Any) -> None:
    @tool
    def confirm(what: str) -> str:
        """Ask a person."""
        return f"{what}: {interrupt(what)}, {interrupt(f'{what}, really')}"

    calls = [[{"tool": "confirm", "args": {"what": what}} for what in ("a", "b")], "done"]
    result = await same(agent(calls, tools=[confirm]), HI, answer=str.upper)
    assert texts(result)[2:4] == ["a: A, A, REALLY", "b: B, B, REALLY"]


# -- people decide -------------------------------------------------------------------------------------------------------

DECISIONS: dict[str, dict[str, Any]] = {
    "approve": {"type": "approve"},
    "edit": {"type": "edit", "edited_action": {"name": "weather", "args": {"city": "Rome"}}},
    "reject": {"type": "reject", "message": "not now"},
    "respond": {"type": "respond", "message": "it is dark"},
}
BATCH = [ask("Oslo"), PAYMENT, ask("Bern")]


@pytest.mark.compat(
    "Agents: `HumanInTheLoopMiddleware`: approve, edit, reject, respond, several calls at once"
)
@pytest.mark.parametrize(
    "names", [("approve", "reject", "edit"), ("respond", "approve", "approve"), ("reject",) * 3]
)
async def test_several_calls_of_one_batch_are_decided_together(same: Any, names: tuple[str, ...]) -> None:
    allowed = {"allowed_decisions": ["approve", "edit", "reject", "respond"]}
    middleware = HumanInTheLoopMiddleware({"weather": allowed, "pay": allowed})

    def answer(value: Any) -> Any:
        assert [request["name"] for request in value["action_requests"]] == ["weather", "pay", "weather"]
        return {"decisions": [DECISIONS[name] for name in names]}

    result = await same(agent([BATCH, "done"], middleware), HI, answer=answer, carry_every=1)
    assert texts(result)[-1] == "done"


async def test_only_some_tools_are_decided_and_the_description_is_made_from_the_call(same: Any) -> None:
    def describe(call: Any, state: Any, runtime: Any) -> str:
        return f"pay {call['args']['amount']}?"

    middleware = HumanInTheLoopMiddleware(
        {"pay": {"allowed_decisions": ["approve", "reject"], "description": describe}, "weather": False}
    )

    def answer(value: Any) -> Any:
        [request] = value["action_requests"]
        assert request["description"] == "pay 1?"
        return {"decisions": [{"type": "reject"}]}

    await same(agent([BATCH, "done"], middleware), HI, answer=answer)


async def test_an_agent_inside_a_tool_asks_and_goes_on(same: Any) -> None:
    def make() -> Any:
        inner = create_agent(
            ScriptedChatModel([ask(), PAYMENT, "inner done"]),
            [weather, pay],
            middleware=[HumanInTheLoopMiddleware({"pay": True})],
        )

        @tool
        async def delegate(task: str) -> str:
            """Let another agent do it."""
            result = await inner.ainvoke({"messages": [("user", task)]})
            return f"{result['messages'][-1].text} after {len(result['messages'])}"

        return create_agent(
            ScriptedChatModel([{"tool": "delegate", "args": {"task": "x"}}, "done"]), [delegate]
        )

    result = await same(make, HI, answer=lambda value: {"decisions": [{"type": "approve"}]})
    assert texts(result)[2:] == ["inner done after 6", "done"]


async def test_an_agent_as_a_subgraph_keeps_its_kind_of_retries() -> None:
    inner = create_agent(ScriptedChatModel([ask(), "done"]), [weather])
    graph = StateGraph(MessagesState).add_node("agent", inner).add_edge(START, "agent").compile()
    async with PerdureEnvironment.start({"g": graph}) as env:
        run = await env.start("g", HI)
        assert texts(await run.result())[-1] == "done"
        attempts: dict[str, int] = {}
        for event in (await run.handle.fetch_history()).events:
            if event.HasField("activity_task_scheduled_event_attributes"):
                scheduled = event.activity_task_scheduled_event_attributes
                attempts[scheduled.activity_id.split(":")[0]] = scheduled.retry_policy.maximum_attempts
    assert attempts == {"model": 6 + HANDOVERS, "tools": 4 + HANDOVERS}
