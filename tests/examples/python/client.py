"""Buys the emails of a list and puts them into a CRM: over HTTP, or with plain SQL where the inbox file can be opened.

    python3 client.py http http://127.0.0.1:8787 TOKEN 789 790
    python3 client.py sqlite unlockd.db unlockd.db 789 790      (inbox, results: the same file unless inbox.database is set)
    python3 client.py postgres postgresql://crm@HOST/unlockd postgresql://bi@HOST/unlockd 789 790
        (the roles of a producer and of a reader with values, as `unlockd check` prints them; needs psycopg 3)

The other ways need no package. Run again, it asks for nothing new: the key of the request is made of its contents.
"""

import hashlib
import json
import sqlite3
import sys
import time
import urllib.request

SECONDS = 60


def upsert(crm, contacts):
    """Newer values replace older ones, never the other way round: a value from the store may be old."""
    crm.execute("create table if not exists people (personnel_id text primary key, email text, obtained_at text)")
    crm.executemany(
        """insert into people (personnel_id, email, obtained_at) values (?, ?, ?)
           on conflict (personnel_id) do update set email = excluded.email, obtained_at = excluded.obtained_at
           where people.obtained_at is null or people.obtained_at < excluded.obtained_at""",
        [(c["personnel_id"], c["email"], c["obtained_at"]) for c in contacts if c["outcome"] == "delivered"],
    )
    crm.commit()


def key_of(ids):
    return "list-" + hashlib.sha256(",".join(sorted(ids)).encode()).hexdigest()[:32]


class Http:
    def __init__(self, url, token):
        self.url, self.token = url.rstrip("/") + "/api/v1", token

    def call(self, path, body=None, headers=None):
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", **(headers or {})}
        data = None if body is None else json.dumps(body).encode()
        # Without an answer, the same call again is safe: it has the same key.
        for attempt in range(5):
            try:
                request = urllib.request.Request(self.url + path, data, headers)
                with urllib.request.urlopen(request, timeout=40) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                if error.code < 500 and error.code != 429:
                    raise SystemExit(json.load(error)["detail"])
            except OSError:
                pass
            time.sleep(0.2 * 2**attempt)
        raise SystemExit("unlockd does not answer")

    def enqueue(self, ids):
        body = {"personnel_ids": ids, "reference": "python over HTTP"}
        return self.call("/requests", body, {"Idempotency-Key": key_of(ids)})["id"]

    def wait(self, request):
        after, end = 0, time.monotonic() + SECONDS
        while (found := self.call(f"/requests/{request}"))["finished_at"] is None:
            if time.monotonic() > end:
                raise SystemExit(f"request {request} is {found['status']}")
            # Answers as soon as a contact of any request has an outcome.
            after = self.call(f"/changes?after={after}&wait=5")["next_after"]

    def contacts(self, request):
        path = f"/requests/{request}/contacts"
        page = self.call(path)
        yield from page["contacts"]
        while page["next_cursor"] is not None:
            page = self.call(f"{path}?cursor={page['next_cursor']}")
            yield from page["contacts"]


class Sqlite:
    def __init__(self, inbox, results):
        self.inbox = sqlite3.connect(inbox, timeout=10)
        self.results = sqlite3.connect(f"file:{results}?mode=ro", uri=True, timeout=10)
        self.results.row_factory = sqlite3.Row

    def enqueue(self, ids):
        key = key_of(ids)
        with self.inbox:
            self.inbox.execute(
                "insert or ignore into inbox (personnel_ids, reference, dedupe_key) values (?, 'python over SQLite', ?)",
                (json.dumps(ids), key),
            )
        return self.inbox.execute("select id from inbox where dedupe_key = ?", (key,)).fetchone()[0]

    def wait(self, request):
        end = time.monotonic() + SECONDS
        while True:
            status, reason = self.inbox.execute(f"select status, reason from inbox where id = {int(request)}").fetchone()
            if status in ("done", "rejected", "cancelled"):
                return
            if time.monotonic() > end:
                raise SystemExit(f"request {request} is {status}: {reason}")
            time.sleep(0.2)

    def contacts(self, request):
        return [dict(row) for row in self.results.execute("select * from contact_outcomes where request_id = ?", (request,))]


class Postgres:
    def __init__(self, inbox, results):
        import psycopg

        self.inbox = psycopg.connect(inbox, autocommit=True)
        self.results = psycopg.connect(results, autocommit=True, row_factory=psycopg.rows.dict_row)

    def enqueue(self, ids):
        key = key_of(ids)
        # In a transaction of your own, together with your rows, if you like.
        self.inbox.execute(
            "insert into inbox (personnel_ids, reference, dedupe_key) values (%s, 'python over PostgreSQL', %s) "
            "on conflict do nothing",
            (json.dumps(ids), key),
        )
        return self.inbox.execute("select id from inbox where dedupe_key = %s", (key,)).fetchone()[0]

    wait = Sqlite.wait

    def contacts(self, request):
        yield from self.results.execute("select * from contact_outcomes where request_id = %s", (request,))


def main(way, *arguments):
    source = {"http": Http, "sqlite": Sqlite, "postgres": Postgres}[way](*arguments[:2])
    ids = list(arguments[2:])
    request = source.enqueue(ids)
    source.wait(request)
    contacts = list(source.contacts(request))
    crm = sqlite3.connect("crm.db")
    upsert(crm, contacts)
    # An older value changes nothing, a newer one does.
    known = crm.execute("select email, obtained_at from people where personnel_id = ?", (ids[0],)).fetchone()
    for at, expected in [("2001-01-01T00:00:00.000Z", known[0]), ("2999-01-01T00:00:00.000Z", "new@example.com")]:
        upsert(crm, [{"personnel_id": ids[0], "email": "new@example.com", "obtained_at": at, "outcome": "delivered"}])
        found = crm.execute("select email from people where personnel_id = ?", (ids[0],)).fetchone()[0]
        assert found == expected, (at, found)
    print(f"request {request}: {len(contacts)} contacts, {crm.execute('select count(*) from people').fetchone()[0]} people")


if __name__ == "__main__":
    main(*sys.argv[1:])
