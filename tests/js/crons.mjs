// `client.crons` of the JS SDK.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { connected, refused, until } from "./common.mjs";

const { crons, threads } = connected();
const schedule = "0 0 1 1 *";
const thread = (await threads.create()).thread_id;
const made = await crons.createForThread(thread, "steps", { schedule, input: { log: [] } });
assert.equal(made.thread_id, thread);
const [found] = await until(async () => {
  const listed = await crons.search({ threadId: thread });
  return listed.length === 1 && listed;
});
assert.equal(found.cron_id, made.cron_id);
assert.equal(found.schedule, schedule);
assert.equal((await crons.update(made.cron_id, { enabled: false })).enabled, false);
const stateless = await crons.create("steps", { schedule, input: { log: [] } });
for (const cron of [made, stateless]) await crons.delete(cron.cron_id);
await refused(404, crons.delete(randomUUID()));
await refused(422, crons.create("steps", { schedule: "often", input: { log: [] } }));
