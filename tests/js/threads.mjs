// `client.threads` of the JS SDK.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { connected, refused, until } from "./common.mjs";

const { threads, runs } = connected();
const tag = randomUUID();
const thread = await threads.create({ threadId: randomUUID(), metadata: { tag } });
const id = thread.thread_id;
assert.equal(thread.status, "idle");
await refused(409, threads.create({ threadId: id }));
assert.equal((await threads.create({ threadId: id, ifExists: "do_nothing" })).thread_id, id);
assert.equal((await threads.update(id, { metadata: { who: "me" } })).metadata.who, "me");
assert.equal((await threads.getState(id)).checkpoint, null);
assert.deepEqual(await threads.getHistory(id), []);

assert.deepEqual(await runs.wait(id, "steps", { input: { log: [] } }), { log: ["first plain", "second"] });
const state = await threads.getState(id);
assert.deepEqual(state.values, { log: ["first plain", "second"] });
const history = await threads.getHistory(id, { limit: 10 });
assert.deepEqual(history.map((each) => each.next), [[], ["second"], ["first"], ["__start__"]]);
const before = await threads.getHistory(id, { before: history[1].checkpoint });
assert.equal(before.length, 2);
const earlier = await threads.getState(id, history[1].checkpoint);
assert.deepEqual(earlier.values, { log: ["first plain"] });
assert.deepEqual((await threads.getState(id, history[1].checkpoint.checkpoint_id)).values, earlier.values);
const updated = await threads.updateState(id, {
  values: { log: ["by hand"] },
  checkpoint: history[1].checkpoint,
});
const branch = await runs.wait(id, "steps", { input: null, checkpoint: updated.checkpoint });
assert.deepEqual(branch, { log: ["first plain", "by hand", "second"] });

const found = await until(async () => {
  const listed = await threads.search({ metadata: { tag }, limit: 10 });
  return listed.length === 1 && listed;
});
assert.equal(found[0].thread_id, id);
assert.equal(await threads.count({ metadata: { tag } }), 1);
const copied = await threads.copy(id);
assert.deepEqual((await threads.getState(copied.thread_id)).values, branch);
await threads.delete(id);
await refused(404, threads.get(id));
await refused(404, threads.getState(randomUUID()));
