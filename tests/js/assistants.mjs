// `client.assistants` of the JS SDK.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { connected, refused } from "./common.mjs";

const { assistants, runs } = connected();
const tag = randomUUID();
const made = await assistants.create({
  graphId: "steps",
  context: { tone: "warm" },
  metadata: { tag },
  name: "Warm",
});
assert.equal(made.version, 1);
assert.deepEqual(await assistants.get(made.assistant_id), made);
const values = await runs.wait(null, made.assistant_id, { input: { log: [] } });
assert.equal(values.log[0], "first warm");
assert.equal((await assistants.update(made.assistant_id, { context: { tone: "two" } })).version, 2);
const versions = await assistants.getVersions(made.assistant_id);
assert.deepEqual(versions.map((each) => each.version), [2, 1]);
assert.deepEqual((await assistants.setLatest(made.assistant_id, 1)).context, { tone: "warm" });
assert.deepEqual((await assistants.search({ metadata: { tag } })).map((each) => each.name), ["Warm"]);
const page = await assistants.search({ metadata: { tag }, includePagination: true });
assert.equal(page.next, null);
assert.equal(await assistants.count({ metadata: { tag } }), 1);

const graph = await assistants.getGraph("steps");
assert.deepEqual(graph.nodes.map((node) => node.id).sort(), ["__end__", "__start__", "first", "second"]);
const schemas = await assistants.getSchemas("steps");
assert.ok(schemas.input_schema.properties.log);
assert.ok(schemas.context_schema.properties.tone);
assert.deepEqual(Object.keys(await assistants.getSubgraphs("outer")), ["inner"]);
assert.deepEqual(Object.keys(await assistants.getSubgraphs("outer", { namespace: "inner" })), ["inner"]);

await assistants.delete(made.assistant_id);
await refused(404, assistants.get(made.assistant_id));
await refused(404, assistants.create({ graphId: "nothing" }));
