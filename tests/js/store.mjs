// `client.store` of the JS SDK.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { connected, refused } from "./common.mjs";

const { store } = connected();
const space = ["js", randomUUID()];
await store.putItem(space, "a", { text: "one", n: 1 });
await store.putItem([...space, "deep"], "b", { text: "two", n: 2 });
assert.deepEqual((await store.getItem(space, "a")).value, { text: "one", n: 1 });
assert.deepEqual((await store.searchItems(space)).items.map((item) => item.key).sort(), ["a", "b"]);
assert.deepEqual((await store.searchItems(space, { filter: { n: 2 } })).items.map((item) => item.key), ["b"]);
const { namespaces } = await store.listNamespaces({ prefix: space });
assert.deepEqual(namespaces, [space, [...space, "deep"]]);
await store.deleteItem(space, "a");
assert.equal((await store.searchItems(space)).items.length, 1);
await refused(422, store.putItem([...space, ""], "x", {}));
