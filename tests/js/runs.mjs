// `client.runs` of the JS SDK, without its streams.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { connected, refused, until } from "./common.mjs";

const { threads, runs } = connected();
const thread = (await threads.create()).thread_id;
const run = await runs.create(thread, "steps", { input: { log: [] }, metadata: { who: "me" } });
assert.equal(run.metadata.who, "me");
assert.deepEqual(await runs.join(thread, run.run_id), { log: ["first plain", "second"] });
assert.equal((await runs.get(thread, run.run_id)).status, "success");
assert.deepEqual((await runs.list(thread, { limit: 5 })).map((each) => each.run_id), [run.run_id]);
assert.deepEqual(await runs.list(thread, { status: "error" }), []);
await runs.delete(thread, run.run_id);
await refused(404, runs.get(thread, run.run_id));

const context = await runs.wait(thread, "steps", { input: { log: [] }, context: { tone: "kind" } });
assert.equal(context.log[2], "first kind");
const asked = await runs.wait(thread, "asking", { input: { log: [] } });
assert.equal(asked.__interrupt__[0].value, "what now?");
assert.equal((await threads.get(thread)).status, "interrupted");
const answered = await runs.wait(thread, "asking", { command: { resume: "go" } });
assert.deepEqual(answered.log.slice(-2), ["told go", "after"]);
await assert.rejects(runs.wait(null, "failing", { input: { log: [] } }), /no such customer/);
const error = await runs.wait(null, "failing", { input: { log: [] }, raiseError: false });
assert.equal(error.__error__.error, "ValueError");
const batch = await runs.createBatch([
  { assistantId: "steps", input: { log: [] } },
  { assistantId: "steps", input: { log: [] } },
]);
assert.equal(batch.length, 2);

const slow = await runs.create(thread, "slow", { input: { log: ["slow"] } });
await until(async () => (await runs.get(thread, slow.run_id)).status === "running");
await refused(409, runs.create(thread, "steps", { input: { log: [] }, multitaskStrategy: "reject" }));
await runs.cancel(thread, slow.run_id, true);
assert.equal((await runs.get(thread, slow.run_id)).status, "interrupted");
await refused(404, runs.wait(randomUUID(), "steps", { input: { log: [] } }));
await refused(404, runs.wait(null, "nothing", { input: { log: [] } }));
const made = await runs.wait(randomUUID(), "steps", { input: { log: [] }, ifNotExists: "create" });
assert.deepEqual(made.log, ["first plain", "second"]);
