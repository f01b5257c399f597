"""DETERMINISTIC: the agent as a Temporal workflow of its own, the library form.

The `StateGraph` is built inside the workflow, its nodes run there, and each side effect is an activity. The
states and routes are those of the hosted form (`case.py`).

A decision counts whenever it comes, also before the draft exists: that is how a signal works, and the first one
wins. Use the hosted form where a decision must be bound to the draft that the person saw.
"""

from datetime import timedelta
from typing import Any, Literal

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from langgraph.graph import START, StateGraph

    from perdure import run_graph
    from support.activities import call_llm, create_ticket, search_kb, send_email
    from support.case import APPROVAL_SECONDS, Case, Request, after_classify, after_decide, new_case
    from support.contract import LLMRequest, SearchArgs, SupportInput
    from support.outbox import handover_ticket, reply_mail
    from support.prompts import classify_request, draft_request, read_category
    from support.retry import LLM_RETRY, LLM_TIMEOUT, TOOL_RETRY, TOOL_TIMEOUT

__all__ = ["SupportAgent"]


@workflow.defn
class SupportAgent:
    """One customer's request, from the search to the answer. The workflow id makes it unique."""

    def __init__(self) -> None:
        self._decision: Literal["approve", "reject"] | None = None
        self._edited: str | None = None
        self._draft: str | None = None

    @workflow.signal
    def human_decision(self, decision: Literal["approve", "reject"]) -> None:
        """Approve or reject the draft. The first decision wins; anything else is ignored."""
        if decision in ("approve", "reject") and self._decision is None:
            self._decision = decision

    @workflow.signal
    def human_edit(self, draft: str) -> None:
        """Approve with another text."""
        if draft.strip() and self._decision is None:
            self._decision, self._edited = "approve", draft

    @workflow.query
    def draft(self) -> str | None:
        """The draft that waits for a decision; None before there is one."""
        return self._draft

    @workflow.run
    async def run(self, input: SupportInput) -> str:
        """Answer one request.

        Returns:
            `sent`, `rejected`, `escalated:<ticket id>` or `expired:<ticket id>`.
        """
        request = Request(customer_email=input.customer_email, message=input.message)
        return (await run_graph(self._graph(), request))["result"]

    def _graph(self) -> Any:
        builder: StateGraph[Any, Any, Any, Any] = StateGraph(Case, input_schema=Request)
        builder.add_node("search", self._search)
        builder.add_node("classify", self._classify)
        builder.add_node("draft", self._write)
        builder.add_node("decide", self._decide)
        builder.add_node("send", self._send)
        builder.add_node("ticket", self._ticket)
        builder.add_edge(START, "search")
        builder.add_edge("search", "classify")
        builder.add_conditional_edges("classify", after_classify)
        builder.add_edge("draft", "decide")
        builder.add_conditional_edges("decide", after_decide)
        return builder.compile()

    async def _search(self, state: Request) -> dict[str, Any]:
        entries = await workflow.execute_activity(
            search_kb,
            SearchArgs(state["message"]),
            start_to_close_timeout=TOOL_TIMEOUT,
            retry_policy=TOOL_RETRY,
        )
        return new_case(entries)

    async def _classify(self, state: Case) -> dict[str, Any]:
        answer = await self._ask(classify_request(state["message"], state["answer"]))
        return {"asks": state["asks"] + 1, "answer": answer, "category": read_category(answer)}

    async def _write(self, state: Case) -> dict[str, Any]:
        self._draft = await self._ask(draft_request(state["message"], state["entries"]))
        return {"draft": self._draft}

    async def _decide(self, state: Case) -> dict[str, Any]:
        try:
            await workflow.wait_condition(
                lambda: self._decision is not None, timeout=timedelta(seconds=APPROVAL_SECONDS)
            )
        except TimeoutError:
            return {"decision": "expired"}
        if self._decision == "reject":
            return {"decision": "reject", "result": "rejected"}
        return {"decision": "approve", "draft": self._edited or state["draft"]}

    async def _send(self, state: Case) -> dict[str, Any]:
        await workflow.execute_activity(
            send_email, reply_mail(state), start_to_close_timeout=TOOL_TIMEOUT, retry_policy=TOOL_RETRY
        )
        return {"result": "sent"}

    async def _ticket(self, state: Case) -> dict[str, Any]:
        ticket_id = await workflow.execute_activity(
            create_ticket,
            handover_ticket(state, run_id=workflow.info().workflow_id),
            start_to_close_timeout=TOOL_TIMEOUT,
            retry_policy=TOOL_RETRY,
        )
        return {"result": f"{'expired' if state['decision'] == 'expired' else 'escalated'}:{ticket_id}"}

    async def _ask(self, request: LLMRequest) -> str:
        response = await workflow.execute_activity(
            call_llm, request, start_to_close_timeout=LLM_TIMEOUT, retry_policy=LLM_RETRY
        )
        return response.text
