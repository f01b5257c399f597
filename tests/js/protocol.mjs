// The agent protocol as the JS SDK speaks it: what is under its `useStream` (a controller), and a thread's own handle with
// all commands that it has.
import assert from "node:assert/strict";
import { Client } from "langgraph-sdk-protocol";
import { StreamController } from "langgraph-sdk-protocol/stream";
import { until, url } from "./common.mjs";

const client = new Client({ apiUrl: url, apiKey: null, callerOptions: { maxRetries: 0 } });

function opened(assistantId, threadId) {
  const page = new StreamController({ assistantId, client, threadId });
  page.now = () => page.rootStore.getSnapshot();
  page.activate();
  return page;
}
const settled = (page) => until(() => !page.now().isLoading && !page.now().isThreadLoading);
const human = (content) => ({ messages: [{ type: "human", content }] });
const texts = (page) => page.now().messages.map((message) => message.text);

// Tokens while it speaks, and the answer.
const chat = opened("talking");
const shown = new Set();
chat.rootStore.subscribe(() => shown.add(texts(chat).at(-1)));
await chat.submit(human("speak"));
await settled(chat);
assert.deepEqual(texts(chat), ["speak", "one two three four five six seven eight"]);
assert.ok(shown.has("one two three"), [...shown]);
assert.equal(chat.now().error, undefined);

// Another page on the same thread has all of it.
const again = opened("talking", chat.now().threadId);
await again.hydrate(chat.now().threadId);
assert.deepEqual(texts(again), texts(chat));

// A question is shown on both pages; once it is answered on the one, on neither.
const asking = opened("asking");
await asking.submit({ log: [] });
await until(() => asking.now().interrupt);
const threadId = asking.now().threadId;
assert.equal(asking.now().interrupt.value, "what now?");
const other = opened("asking", threadId);
await other.hydrate(threadId);
await until(() => other.now().interrupt);

const handle = client.threads.stream(threadId, { assistantId: "asking" });
const { tree } = await handle.agent.getTree();
assert.deepEqual(tree, { namespace: [], status: "interrupted", graph_name: "asking" });
await asking.respond("go");
// It is loading once the run has begun, which comes after the answer was taken.
await until(() => asking.now().values.log.includes("after"));
await settled(asking);
assert.deepEqual(asking.now().values.log, ["told go", "after"]);
await until(() => asking.now().interrupts.length === 0 && other.now().interrupts.length === 0);

// The commands of a thread's handle.
const got = await handle.state.get({ namespace: [], keys: ["log"] });
assert.deepEqual(got.values, { log: ["told go", "after"] });
const { checkpoints } = await handle.state.listCheckpoints({ namespace: [] });
assert.equal(checkpoints[0].id, got.checkpoint.id);
assert.deepEqual(checkpoints.map((each) => each.step), [2, 1, 0, -1]);
const forked = await handle.state.fork({ checkpoint_id: checkpoints[1].id });
assert.equal(forked.thread_id, threadId);
await client.runs.join(threadId, forked.run_id);
assert.equal((await handle.agent.getTree({ run_id: forked.run_id })).tree.status, "completed");

const refused = (code, call) => assert.rejects(call, (error) => (assert.equal(error.code, code, error), true));
await refused("no_such_run", handle.agent.getTree({ run_id: "unknown" }));
await refused("no_such_checkpoint", handle.state.fork({ checkpoint_id: "unknown" }));
await refused("no_such_namespace", handle.state.get({ namespace: ["nobody:1"] }));
await refused("invalid_argument", handle.state.listCheckpoints({ namespace: [], limit: 0 }));
await refused("not_supported", handle.input.inject({ namespace: [], message: { role: "user", content: "hi" } }));

// A run that is stopped.
const slow = opened("slow");
slow.submit({ log: ["slow"] });
await until(() => slow.now().values.log?.includes("begun"));
await slow.stop();
const [run] = await until(async () => {
  const runs = await client.runs.list(slow.now().threadId);
  return runs[0].status === "interrupted" && runs;
});
assert.ok(run);
process.exit(0);
