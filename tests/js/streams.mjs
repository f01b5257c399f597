// `client.runs.stream` and `joinStream` of the JS SDK.
import assert from "node:assert/strict";
import { connected, gathered } from "./common.mjs";

const { threads, runs } = connected();
const thread = (await threads.create()).thread_id;
const created = [];
const streamMode = ["values", "updates", "custom", "tasks", "checkpoints", "debug"];
const told = await gathered(
  runs.stream(thread, "steps", { input: { log: [] }, streamMode, onRunCreated: (run) => created.push(run) }),
);
assert.equal(told[0].event, "metadata");
assert.equal(told[0].data.run_id, created[0].run_id);
assert.deepEqual(new Set(told.slice(1).map((part) => part.event)), new Set(streamMode));
const updates = told.filter((part) => part.event === "updates").map((part) => part.data);
assert.deepEqual(updates, [{ first: { log: ["first plain"] } }, { second: { log: ["second"] } }]);

const messages = [{ type: "human", content: "hi" }];
const spoken = await gathered(runs.stream(null, "chat", { input: { messages }, streamMode: "messages-tuple" }));
const tokens = spoken.filter((part) => part.event === "messages").map((part) => part.data[0].content);
assert.equal(tokens.join(""), "you said: hi");
const inside = await gathered(
  runs.stream(null, "outer", { input: { log: [] }, streamMode: "updates", streamSubgraphs: true }),
);
assert.ok(inside.some((part) => part.event.startsWith("updates|inner:")));
const failed = await gathered(runs.stream(null, "failing", { input: { log: [] } }));
assert.equal(failed.at(-1).event, "error");
assert.match(failed.at(-1).data.message, /no such customer/);

const run = (await runs.create(thread, "steps", { input: { log: [] }, streamMode: "updates" })).run_id;
await runs.join(thread, run);
const all = await gathered(runs.joinStream(thread, run, { lastEventId: "-1" }));
assert.deepEqual(all.map((part) => part.event), ["metadata", "updates", "updates"]);
const rest = await gathered(runs.joinStream(thread, run, { lastEventId: all[1].id }));
assert.deepEqual(rest.map((part) => part.id), [all[2].id]);
