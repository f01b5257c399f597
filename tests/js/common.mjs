// What the scripts share: a client of the server whose URL they are given, and expecting a refusal.
import assert from "node:assert/strict";
import { Client } from "@langchain/langgraph-sdk";

export const url = process.argv[2];

export function connected() {
  return new Client({ apiUrl: url, apiKey: null, callerOptions: { maxRetries: 0 } });
}

export async function refused(status, call) {
  await assert.rejects(call, (error) => {
    assert.equal(error.status ?? Number(/HTTP (\d+)/.exec(error.message)?.[1]), status, error.message);
    return true;
  });
}

export async function gathered(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
}

export async function until(wanted) {
  for (let left = 300; left > 0; left--) {
    const found = await wanted();
    if (found) return found;
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error(`not within 30 s: ${wanted}`);
}
