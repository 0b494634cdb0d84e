// Buys the emails of a list with plain SQL, on PostgreSQL, and prints what was delivered. Needs the package pg.
//
//     node postgres.mjs postgresql://crm@HOST/unlockd postgresql://bi@HOST/unlockd 789 790
//
// The roles are those of a producer and of a reader with values, as `unlockd check` prints them. Run again, it asks for
// nothing new: the key of the request is made of its contents.

import { createHash } from "node:crypto";
import pg from "pg";

const [inboxUrl, resultsUrl, ...ids] = process.argv.slice(2);
const key = "list-" + createHash("sha256").update(ids.toSorted().join(",")).digest("hex").slice(0, 32);
const [inbox, results] = [inboxUrl, resultsUrl].map((connectionString) => new pg.Client({ connectionString }));
await Promise.all([inbox.connect(), results.connect()]);
try {
  await inbox.query(
    "insert into inbox (personnel_ids, reference, dedupe_key) values ($1, 'node over PostgreSQL', $2) on conflict do nothing",
    [JSON.stringify(ids), key],
  );
  const { id } = (await inbox.query("select id from inbox where dedupe_key = $1", [key])).rows[0];
  for (const end = Date.now() + 60_000; ; await new Promise((resolve) => setTimeout(resolve, 200))) {
    const { status, reason } = (await inbox.query("select status, reason from inbox where id = $1", [id])).rows[0];
    if (["done", "rejected", "cancelled"].includes(status)) break;
    if (Date.now() > end) throw new Error(`request ${id} is ${status}: ${reason}`);
  }
  const wanted = "select personnel_id, outcome, email from contact_outcomes where request_id = $1 order by personnel_id";
  const { rows } = await results.query(wanted, [id]);
  if (rows.length !== ids.length || rows.some((row) => row.outcome !== "delivered" || !row.email)) {
    throw new Error(`request ${id} brought ${rows.map((row) => row.outcome)}`);
  }
  console.log(`request ${id}: ${rows.length} contacts`);
} finally {
  await Promise.all([inbox.end(), results.end()]);
}
