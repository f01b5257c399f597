// `useStream` of the JS SDK in React, as a chat page uses it: tokens, a question and its answer, a page that is loaded anew while
// an answer is spoken, an edited message.
import assert from "node:assert/strict";
import { createElement, useState } from "react";
import { create } from "react-test-renderer";
import { useStream } from "@langchain/langgraph-sdk/react";
import { connected, until, url } from "./common.mjs";

globalThis.window = globalThis;
const kept = new Map();
const storage = {
  getItem: (key) => kept.get(key) ?? null,
  setItem: (key, value) => kept.set(key, value),
  removeItem: (key) => kept.delete(key),
};

// A page with the hook on it; `page.now` is what it shows, `page.shown` all that it has shown.
async function opened(assistantId, threadId) {
  const page = { shown: [], finished: 0 };
  function Page() {
    const [current, setCurrent] = useState(threadId);
    page.threadId = current;
    page.now = useStream({
      apiUrl: url,
      apiKey: null,
      assistantId,
      threadId: current,
      fetchStateHistory: true,
      reconnectOnMount: () => storage,
      onThreadId: setCurrent,
      onFinish: () => (page.finished += 1),
      onError: (error) => (page.error = error),
    });
    page.shown.push(page.now.messages.at(-1)?.content);
    return null;
  }
  page.root = create(createElement(Page));
  await until(() => page.now && !page.now.isThreadLoading);
  page.submit = async (...given) => {
    const before = page.finished;
    await page.now.submit(...given);
    await until(() => page.error || (page.finished > before && !page.now.isLoading));
    assert.equal(page.error, undefined);
  };
  return page;
}

const human = (content, id) => ({ messages: [{ type: "human", content, id }] });
const texts = (page) => page.now.messages.map((message) => message.content);

const chat = await opened("chat");
await chat.submit(human("hi", "m1"), { streamMode: ["values"], streamResumable: true, streamSubgraphs: true });
assert.deepEqual(texts(chat), ["hi", "you said: hi"]);
await chat.submit(human("there", "m2"));
assert.deepEqual(texts(chat), ["hi", "you said: hi", "there", "you said: there"]);

// The first message is edited: a branch from before it.
const first = chat.now.getMessagesMetadata(chat.now.messages[0]).firstSeenState;
await chat.submit(human("you", "m3"), { checkpoint: first.parent_checkpoint });
assert.deepEqual(texts(chat), ["you", "you said: you"]);

const asking = await opened("asking");
await asking.submit({ log: [] });
assert.equal(asking.now.interrupt.value, "what now?");
await asking.submit(undefined, { command: { resume: "go" } });
assert.deepEqual(asking.now.values.log, ["told go", "after"]);
assert.equal(asking.now.interrupt, undefined);

// The page is closed while tokens come, and opened again: the stored run is joined, from its first token.
const before = await opened("talking");
const speaking = before.now.submit(human("speak", "m4"));
await until(() => before.shown.includes("one two"));
before.root.unmount();
assert.equal(kept.size, 1);
const after = await opened("talking", before.threadId);
await until(() => after.error || (after.finished === 1 && !after.now.isLoading));
assert.deepEqual(texts(after), ["speak", "one two three four five six seven eight"]);
assert.ok(after.shown.includes("one two three"), after.shown);
await speaking;

// Agent Chat UI asks these beside.
const { status } = await fetch(`${url}/info`, { headers: { "X-Api-Key": "" } });
assert.equal(status, 200);
const { threads } = connected();
for (const metadata of [{ graph_id: "chat" }]) {
  const found = await until(async () => {
    const listed = await threads.search({ metadata, limit: 100 });
    return listed.some((thread) => thread.thread_id === chat.threadId) && listed;
  });
  assert.ok(found.every((thread) => thread.metadata.graph_id === "chat"));
}
process.exit(0);
