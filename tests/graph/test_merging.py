"""Messages that are merged for the routers are not merged again for the state, and nobody sees a difference."""

from typing import Annotated, Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage
from langgraph.channels import BinaryOperatorAggregate
from langgraph.graph.message import add_messages

from perdure.graph.channels import whole_channel
from perdure.graph.merging import MergedOnce

_LEFT: list[Any] = [HumanMessage("a", id="1"), AIMessage("b", id="2")]


def test_the_second_merge_of_the_same_lists_is_a_copy_of_the_first() -> None:
    merge, right = MergedOnce(), [AIMessage("c"), RemoveMessage(id="1")]
    first = merge(_LEFT, right)
    known = [*first]
    first.append("what a router does to its copy")
    assert merge(_LEFT, right) == known == [_LEFT[1], right[0]]
    assert merge(_LEFT, right)[1] is right[0]


def test_lists_that_have_grown_are_merged_again() -> None:
    merge, right = MergedOnce(), [AIMessage("c", id="3")]
    assert len(merge(_LEFT, right)) == 3
    right.append(AIMessage("d", id="4"))
    assert merge(_LEFT, right) == add_messages(_LEFT, right)


def test_merges_that_make_messages_are_made_again_each_time() -> None:
    merge, right = MergedOnce(), [{"role": "user", "content": "no id of its own"}]
    first, second = merge(_LEFT, right), merge(_LEFT, right)
    assert first[2].content == second[2].content
    assert first[2].id != second[2].id, "the random numbers of a workflow must be drawn as often in a replay"


def test_a_mirrored_channel_of_messages_merges_them_once() -> None:
    channel = BinaryOperatorAggregate(Annotated[list[AnyMessage], add_messages], add_messages)
    channel.key = "messages"
    whole, write = whole_channel(channel), [AIMessage("a", id="1")]
    assert isinstance(whole.operator, MergedOnce)
    assert whole == whole.copy()
    read = whole.copy()
    read.update([write])
    whole.update([write])
    assert whole.key == "messages"
    assert whole.get() == read.get() == write
    assert whole.get() is not read.get()
