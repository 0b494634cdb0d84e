// Buys the emails of a list over HTTP and puts them into a CRM (here: a JSON file), without any package.
//
//   node client.mjs http://127.0.0.1:8787 TOKEN 789 790
//   node client.mjs webhook SECRET_FILE MESSAGES     verifies messages of unlockd, one JSON object a line
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import assert from "node:assert/strict";

const SECONDS = 60;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Newer values replace older ones, never the other way round. RFC 3339 in UTC sorts as text.
export function upsert(people, contacts) {
  for (const { personnel_id, email, obtained_at, outcome } of contacts) {
    if (outcome !== "delivered") continue;
    const known = people[personnel_id];
    if (!known || known.obtained_at < obtained_at) people[personnel_id] = { email, obtained_at };
  }
}

class Unlockd {
  constructor(url, token) {
    Object.assign(this, { url: `${url.replace(/\/$/, "")}/api/v1`, token });
  }

  // Without an answer, the same call again is safe: it has the same key.
  async call(path, body, headers = {}) {
    for (let attempt = 0; attempt < 5; attempt += 1) {
      try {
        const answer = await fetch(this.url + path, {
          method: body ? "POST" : "GET",
          headers: { authorization: `Bearer ${this.token}`, "content-type": "application/json", ...headers },
          body: body && JSON.stringify(body),
          signal: AbortSignal.timeout(40_000),
        });
        const found = await answer.json();
        if (answer.ok) return found;
        if (answer.status < 500 && answer.status !== 429) return Promise.reject(new Error(found.detail));
      } catch (error) {
        if (attempt === 4) throw error;
      }
      await sleep(200 * 2 ** attempt);
    }
    throw new Error("unlockd does not answer");
  }

  async enqueue(ids) {
    const key = `list-${createHash("sha256").update([...ids].sort().join(",")).digest("hex").slice(0, 32)}`;
    const body = { personnel_ids: ids, reference: "node over HTTP" };
    return (await this.call("/requests", body, { "idempotency-key": key })).id;
  }

  async wait(request) {
    const end = Date.now() + SECONDS * 1000;
    for (let after = 0; ; ) {
      const found = await this.call(`/requests/${request}`);
      if (found.finished_at) return;
      if (Date.now() > end) throw new Error(`request ${request} is ${found.status}`);
      after = (await this.call(`/changes?after=${after}&wait=5`)).next_after;
    }
  }

  async contacts(request) {
    const all = [];
    for (let cursor = ""; cursor !== null; ) {
      const page = await this.call(`/requests/${request}/contacts${cursor && `?cursor=${cursor}`}`);
      all.push(...page.contacts);
      cursor = page.next_cursor;
    }
    return all;
  }
}

// Standard Webhooks: whether one of the secrets has signed the message, lately.
export function verify(secrets, headers, body, now = Date.now()) {
  const { "webhook-id": id, "webhook-timestamp": at, "webhook-signature": signature } = headers;
  if (Math.abs(now / 1000 - Number(at)) > 300) return false;
  const given = signature.split(" ").filter((part) => part.startsWith("v1,")).map((part) => Buffer.from(part.slice(3), "base64"));
  return secrets.some((secret) => {
    const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
    const good = createHmac("sha256", key).update(`${id}.${at}.${body}`).digest();
    return given.some((one) => one.length === good.length && timingSafeEqual(one, good));
  });
}

const [first, second, ...rest] = process.argv.slice(2);
if (first === "webhook") {
  const secrets = readFileSync(second, "utf8").split(/\s+/).filter(Boolean);
  const lines = readFileSync(rest[0], "utf8").trim().split("\n").map((line) => JSON.parse(line));
  for (const { headers, body } of lines) {
    assert.ok(verify(secrets, headers, body));
    assert.ok(!verify(secrets, headers, `${body} `) && !verify(secrets, headers, body, Date.now() + 3_600_000));
  }
  console.log(`${lines.length} messages are good`);
} else {
  const unlockd = new Unlockd(first, second);
  const request = await unlockd.enqueue(rest);
  await unlockd.wait(request);
  const contacts = await unlockd.contacts(request);
  const people = existsSync("crm.json") ? JSON.parse(readFileSync("crm.json", "utf8")) : {};
  upsert(people, contacts);
  const { email } = people[rest[0]];
  const other = { personnel_id: rest[0], email: "new@example.com", outcome: "delivered" };
  upsert(people, [{ ...other, obtained_at: "2001-01-01T00:00:00.000Z" }]);
  assert.equal(people[rest[0]].email, email, "an older value changes nothing");
  writeFileSync("crm.json", JSON.stringify(people));
  console.log(`request ${request}: ${contacts.length} contacts, ${Object.keys(people).length} people`);
}
