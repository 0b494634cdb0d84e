// The client `@modelcontextprotocol/sdk` of npm plans, proposes and reads. It checks each answer against the tool's own
// output schema.
import assert from "node:assert/strict";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const { URL: url, UNLOCKD, CONFIG, AGENT_TOKEN, PERSON_TOKEN } = process.env;
const TOOLS = [
  "plan_unlock", "request_unlock", "get_request", "list_requests", "explain_request", "list_changes", "get_balance",
  "get_spend",
];

// A call of the HTTP API by the person who approves.
async function approve(id, credits) {
  const answer = await fetch(`${url}/api/v1/requests/${id}/approve`, {
    method: "POST",
    headers: { authorization: `Bearer ${PERSON_TOKEN}`, "content-type": "application/json" },
    body: JSON.stringify({ credits }),
  });
  assert.equal(answer.status, 200, await answer.text());
}

async function until(what, found) {
  for (const end = Date.now() + 15_000; Date.now() < end; ) {
    const value = await found();
    if (value !== undefined) return value;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.fail(`waited for ${what}`);
}

async function journey(label, transport, firstId) {
  const client = new Client({ name: "judge", version: "1" });
  await client.connect(transport);
  const call = async (name, args = {}) => {
    const answer = await client.callTool({ name, arguments: args });
    assert.ok(!answer.isError, JSON.stringify(answer.content));
    return answer.structuredContent;
  };
  const { tools } = await client.listTools();
  assert.deepEqual(tools.map((tool) => tool.name), TOOLS);
  const ids = [`${firstId}`, `${firstId + 1}`];
  const plan = await call("plan_unlock", { personnel_ids: ids });
  assert.equal(plan.credits_at_most, 30);
  const wanted = { personnel_ids: ids, purpose: "two leads of the fair", idempotency_key: label };
  const asked = await call("request_unlock", wanted);
  assert.equal((await call("request_unlock", wanted)).is_new, false);
  const id = asked.request_id;
  const get = async (status) => {
    const request = await call("get_request", { request_id: id });
    return request.status === status ? request : undefined;
  };
  const request = await until("the estimate", () => get("awaiting_approval"));
  const explained = await call("explain_request", { request_id: id });
  assert.ok(explained.waits[0].needs_person);
  const missing = await client.callTool({ name: "get_request", arguments: { request_id: 999_999 } });
  assert.ok(missing.isError && missing.content[0].text.includes("there is no request"));
  await approve(id, request.quoted_credits);
  const done = await until("the outcome", () => get("done"));
  assert.equal(done.delivered, 2);
  assert.ok(!JSON.stringify(done).includes("@"));
  const changes = await call("list_changes", { limit: 1000 });
  assert.ok(changes.changes.some((change) => change.personnel_id === ids[1]));
  assert.ok((await call("list_requests")).requests.some((row) => row.id === id));
  assert.notEqual((await call("get_balance")).accounts[0].balance, null);
  assert.ok((await call("get_spend", { by: "account" })).spend[0].credits >= 30);
  await client.close();
  console.log(`mcp of npm, ${label}: ok`);
}

await journey("node-stdio", new StdioClientTransport({ command: UNLOCKD, args: ["--config", CONFIG, "mcp"] }), 2001);
const requestInit = { headers: { authorization: `Bearer ${AGENT_TOKEN}` } };
await journey("node-http", new StreamableHTTPClientTransport(new URL(`${url}/mcp`), { requestInit }), 2011);
