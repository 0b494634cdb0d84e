// A sandbox and a worker of their own on ports that the system chose, and a browser that looks at the
// worker's page. Whatever is started here is ended here.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { chromium } from "playwright-core";

const BINARY = process.env.UNLOCKD_BINARY;
assert.ok(BINARY, "these tests are started by tests/browser/run");

export const TOKEN = "browser-token-0815-4711";
export const PICTURES = fileURLToPath(new URL("../../target/browser/", import.meta.url));

// A page that does not come to what is expected within this fails; nothing waits that long otherwise.
const PATIENCE_MS = 60_000;

const run = promisify(execFile);

/** A process of ours: its first line that `found` understands, and its end. */
async function start(args, env, log, found) {
  const child = spawn(BINARY, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  const killed = () => child.kill("SIGKILL");
  process.on("exit", killed);
  const ended = new Promise((resolve) => child.on("exit", resolve));
  const file = createWriteStream(log);
  const answer = await new Promise((resolve, reject) => {
    let text = "";
    const read = (bytes) => {
      file.write(bytes);
      text += bytes;
      const answer = found(text);
      if (answer) resolve(answer);
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    ended.then((code) => reject(new Error(`unlockd ${args[0]} ended with ${code}: ${text}`)));
  });
  const stop = async () => {
    child.kill("SIGTERM");
    const code = await ended;
    process.off("exit", killed);
    file.end();
    return code;
  };
  return { answer, stop };
}

/** The sandbox with these faults, a worker, and the browser. */
export async function open(faults) {
  await mkdir(PICTURES, { recursive: true });
  const folder = await mkdtemp(join(tmpdir(), "unlockd-browser-"));
  // Nothing of the caller's configuration: these tests mean the same everywhere.
  const env = { PATH: process.env.PATH, HOME: folder, LENSMOR_API_KEY: "uak_browser" };
  const sandbox = await start(
    ["sandbox", "--listen", "127.0.0.1:0", "--task-seconds", "3", "--balance", "50000", "--rate-limit", "0",
      ...faults.flatMap((fault) => ["--fault", fault])],
    env, join(PICTURES, "sandbox.log"), (text) => /listening on (\S+)/.exec(text)?.[1]);
  await writeFile(join(folder, "token"), TOKEN, { mode: 0o600 });
  const config = join(folder, "unlockd.toml");
  await writeFile(config, `
database = "${folder}/unlockd.db"
[api]
base_url = "${sandbox.answer}"
timeout = "3s"
[submit]
verify_after = "1s"
decide_after = "2s"
[http]
listen = "127.0.0.1:0"
token_file = "${folder}/token"
[log]
format = "json"
`);
  const worker = await start(["run", "--config", config], env, join(PICTURES, "worker.log"),
    (text) => /"url":"(http:[^"]+)\/"/.exec(text)?.[1]);
  const url = worker.answer;
  await until(async () => (await fetch(`${url}/readyz`)).ok, "the worker is ready");
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
    // As people's browsers have it: pages that were left may be kept alive for the back button.
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
  });
  return {
    url,
    browser,
    /** Asks for something as `unlockd enqueue` does; returns the request's id. */
    async enqueue(...args) {
      const { stdout } = await run(BINARY, ["enqueue", "--config", config, "--json", ...args], { env });
      return JSON.parse(stdout).id;
    },
    async close() {
      await browser.close();
      assert.equal(await worker.stop(), 0, "the worker ends in good order");
      assert.equal(await sandbox.stop(), 0, "the sandbox ends in good order");
      await rm(folder, { recursive: true });
    },
  };
}

/** Looks until something is so. */
export async function until(isSo, what) {
  const end = Date.now() + PATIENCE_MS;
  while (!(await isSo())) {
    assert.ok(Date.now() < end, `not so in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Every host that any visitor's browser asked for anything. */
export const hostsAsked = new Set();

/** Somebody with a browser of their own: cookies, and everything that went wrong in it. */
export class Visitor {
  static async of(place, options = {}) {
    const visitor = new Visitor();
    visitor.place = place;
    visitor.problems = [];
    visitor.expected = [];
    visitor.context = await place.browser.newContext({ baseURL: place.url, viewport: { width: 1280, height: 900 }, ...options });
    visitor.context.setDefaultTimeout(PATIENCE_MS);
    visitor.context.on("request", (request) => {
      if (!request.url().startsWith("data:")) hostsAsked.add(new URL(request.url()).host);
    });
    visitor.context.on("weberror", (error) => visitor.problems.push(String(error.error())));
    visitor.context.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) visitor.problems.push(message.text());
    });
    visitor.page = await visitor.context.newPage();
    return visitor;
  }

  /** What the console will say, once, and is meant to. */
  expects(pattern) {
    this.expected.push(pattern);
  }

  async signIn() {
    await this.page.goto("/session");
    await this.page.getByLabel("Token").fill(TOKEN);
    await this.page.locator("main").getByRole("button", { name: "Sign in" }).click();
    await this.page.locator("#sign-out").waitFor();
  }

  /** Waits for the first heading, without loading the page again. */
  async heading(text) {
    await this.page.getByRole("heading", { level: 1, name: text }).waitFor();
  }

  /** Opens a path again and again until it shows something: for what the worker has to do first. */
  async goUntil(path, selector) {
    await until(async () => {
      await this.page.goto(path);
      return (await this.page.locator(selector).count()) > 0;
    }, `${path} has ${selector}`);
  }

  /** What a reader sees. */
  async text(selector = "body") {
    return (await this.page.locator(selector).innerText()).replaceAll(/\s+/g, " ");
  }

  async picture(name) {
    await this.page.screenshot({ path: join(PICTURES, `${name}.png`), fullPage: true });
  }

  async leave() {
    await this.context.close();
    for (const pattern of this.expected) {
      const at = this.problems.findIndex((problem) => pattern.test(problem));
      assert.notEqual(at, -1, `the console said nothing like ${pattern}`);
      this.problems.splice(at, 1);
    }
    assert.deepEqual(this.problems, [], "the console has no errors");
  }
}
