"""The client `mcp` of PyPI plans, proposes and reads. It checks each answer against the tool's own output schema."""

import asyncio
import json
import os
import time
import urllib.error
import urllib.request

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

URL = os.environ["URL"]
TOOLS = [
    "plan_unlock", "request_unlock", "get_request", "list_requests", "explain_request", "list_changes", "get_balance",
    "get_spend",
]


def person(path, body=None):
    """A call of the HTTP API by the person who approves."""
    headers = {"Authorization": f"Bearer {os.environ['PERSON_TOKEN']}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{URL}/api/v1{path}", data, headers), timeout=10) as answer:
        return json.load(answer)


async def until(what, found):
    end = time.monotonic() + 15
    while time.monotonic() < end:
        if (value := await found()) is not None:
            return value
        await asyncio.sleep(0.1)
    raise AssertionError(f"waited for {what}")


async def tool(client, name, **arguments):
    answer = await client.call_tool(name, arguments)
    assert not answer.is_error, answer.content
    assert json.loads(answer.content[0].text) == answer.structured_content
    return answer.structured_content


async def refused(client, name, part, **arguments):
    answer = await client.call_tool(name, arguments)
    assert answer.is_error and answer.structured_content is None, answer
    text = answer.content[0].text
    assert part in text and "Credits: nothing was written, and nothing is spent." in text, text


async def journey(client, label, first_id):
    listed = await client.list_tools()
    assert [tool.name for tool in listed.tools] == TOOLS, listed
    assert all(tool.output_schema and tool.description for tool in listed.tools)
    ids = [str(first_id), str(first_id + 1)]
    plan = await tool(client, "plan_unlock", personnel_ids=ids + ids[:1])
    assert (plan["new"], plan["repeated"], plan["credits_at_most"]) == (2, 1, 30), plan
    asked = {"personnel_ids": ids, "purpose": "two leads of the fair", "idempotency_key": label}
    first = await tool(client, "request_unlock", **asked)
    again = await tool(client, "request_unlock", **asked)
    number = first["request_id"]
    assert first["is_new"] and not again["is_new"] and again["request_id"] == number
    assert first["credits_at_most"] == 30 and str(number) in first["for_person"]["command"], first
    await refused(client, "request_unlock", "purpose", personnel_ids=ids)
    await refused(client, "request_unlock", "approved", personnel_ids=ids, purpose="x", approved=True)

    async def waits():
        request = await tool(client, "get_request", request_id=number)
        return request if request["status"] == "awaiting_approval" else None

    request = await until("the estimate", waits)
    assert request["purpose"] == "two leads of the fair" and request["agent"], request
    explained = await tool(client, "explain_request", request_id=number)
    assert explained["waits"][0]["needs_person"], explained
    person(f"/requests/{number}/approve", {"credits": request["quoted_credits"]})

    async def done():
        request = await tool(client, "get_request", request_id=number)
        return request if request["status"] == "done" else None

    request = await until("the outcome", done)
    assert request["delivered"] == 2 and "@" not in json.dumps(request), request
    changes = await tool(client, "list_changes", limit=1000)
    assert {change["personnel_id"] for change in changes["changes"]} >= set(ids)
    assert any(row["id"] == number for row in (await tool(client, "list_requests"))["requests"])
    assert (await tool(client, "get_balance"))["accounts"][0]["balance"] is not None
    assert (await tool(client, "get_spend", by="account"))["spend"][0]["credits"] >= 30
    print(f"mcp of PyPI, {label}, protocol {client.protocol_version}: ok")


def status(method, **headers):
    headers = {"Accept": "application/json, text/event-stream", **headers}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{URL}/mcp", None, headers, method=method), timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


async def main():
    token = {"Authorization": f"Bearer {os.environ['AGENT_TOKEN']}"}
    program = StdioServerParameters(
        command=os.environ["UNLOCKD"], args=["--config", os.environ["CONFIG"], "mcp"], env={"RUST_LOG": "trace"}
    )
    first_id = 1001
    for mode in ["auto", "legacy"]:
        async with Client(program, mode=mode) as client:
            await journey(client, f"python-stdio-{mode}", first_id)
        async with httpx2.AsyncClient(headers=token) as http:
            async with Client(streamable_http_client(f"{URL}/mcp", http_client=http), mode=mode) as client:
                await journey(client, f"python-http-{mode}", first_id + 10)
        first_id += 100
    assert status("GET", **token) == 405 and status("DELETE", **token) == 405
    assert status("POST") == 401
    assert status("POST", **token, Origin="http://evil.example") == 403


asyncio.run(main())
