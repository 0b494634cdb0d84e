// What a person with a browser can do on the status page, and what they see. Started by ./run.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { TOKEN, Visitor, hostsAsked, open, until } from "./place.mjs";

// The first and the last search lose their answers; what is sent again between them does not.
const FAULTS = ["lost-answer=timeout@search", "pass@search", "lost-answer=timeout@search"];

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
const NARROW = { viewport: { width: 320, height: 640 }, hasTouch: true, isMobile: true };
const DARK = { colorScheme: "dark" };
const NO_SCRIPT = { javaScriptEnabled: false };

const REFERENCE = `<script>window.owned = 1</script><img src="x" onerror="window.owned = 2"> & "fair"`;

let place;
let axe;
/** Requests that all tests may look at: one done, one that waits for approval. */
let done, waiting;

before(async () => {
  place = await open(FAULTS);
  axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  done = await place.enqueue("--event", "139574", "--reference", REFERENCE, ...contacts(110));
  waiting = await place.enqueue("--event", "139574", "--reference", "crm-export-17", ...contacts(120));
  await visiting({}, async (visitor) => {
    await visitor.page.goto(`/requests/${waiting}`);
    await visitor.heading(`Request ${waiting}: awaiting approval`);
    await visitor.page.goto(`/requests/${done}`);
    await visitor.heading(`Request ${done}: awaiting approval`);
    await visitor.signIn();
    await approve(visitor, done, "1650");
    await visitor.heading(`Request ${done}: done`);
  });
});

after(() => place?.close());

let next = 700_000;

/** Ids of contacts that nobody has asked for yet; their last two digits begin with 00. */
function contacts(count) {
  const first = next;
  next += Math.ceil(count / 100) * 100;
  return Array.from({ length: count }, (_, at) => String(first + at));
}

async function visiting(options, look) {
  const visitor = await Visitor.of(place, options);
  try {
    await look(visitor, visitor.page);
  } catch (error) {
    await visitor.picture("failed").catch(() => {});
    throw error;
  }
  await visitor.leave();
}

/** A test with a visitor of its own, in whose console nothing may go wrong. */
function fact(name, options, look) {
  test(name, () => visiting(options, look));
}

async function approve(visitor, request, credits) {
  await visitor.page.goto(`/requests/${request}`);
  await visitor.page.locator(`#approve-${request}-credits`).fill(credits);
  await confirm(visitor.page.locator(`form:has(#approve-${request})`));
  await visitor.page.locator(`#approve-${request}`).click();
}

/** Types the token where no script has put the session's proof into the form. */
async function confirm(form) {
  const token = form.locator("input[name=token]");
  if ((await token.count()) > 0) await token.fill(TOKEN);
}

fact("an_approved_request_finishes_on_the_page_without_being_loaded_again", {}, async (visitor, page) => {
  const request = await place.enqueue("--event", "139574", "--reference", "spring fair", ...contacts(150));
  await visitor.signIn();
  await visitor.goUntil("/", `#approve-${request}-credits`);
  const need = await visitor.text(`#approve-${request}-need`);
  assert.match(need, /up to 2,250 credits.*the emails of 150 contacts/);
  await page.locator(`#approve-${request}-credits`).fill("2,250");
  await page.locator(`#approve-${request}`).click();
  assert.match(await visitor.text("#notice"), /[Aa]pproved/);
  await page.goto(`/requests/${request}`);
  await page.evaluate(() => { window.stayed = true; });
  await visitor.heading(`Request ${request}: done`);
  assert.equal(await page.evaluate(() => window.stayed), true, "the page was loaded again");
  const counts = await visitor.text("#contacts .counts");
  // The outcomes expected of the sandbox for two times 00 to 49 and once 50 to 99.
  for (const words of ["150 in all", "142 delivered", "2 no value", "1 failed", "1 not returned", "1 missing"]) {
    assert.ok(counts.includes(words), `${words}: ${counts}`);
  }
  await page.goto("/");
  assert.match(await visitor.text("#ended"), /done 150 142 delivered.* spring fair/);
});

fact("a_wrong_token_opens_nothing_and_a_wrong_number_spends_nothing", {}, async (visitor, page) => {
  await page.goto("/session");
  await page.getByLabel("Token").fill("not-the-token-at-all");
  visitor.expects(/status of 403/);
  await page.locator("main").getByRole("button", { name: "Sign in" }).click();
  await page.locator("#problem").waitFor();
  await page.goto(`/requests/${waiting}`);
  assert.equal(await page.locator("button[id^=approve]").count(), 0, "a button for strangers");

  await visitor.signIn();
  visitor.expects(/status of 422/);
  await approve(visitor, waiting, "1801");
  await visitor.heading("The amount does not match");
  assert.match(await visitor.text("main"), /type the amount that is shown: 1,800.*nothing is spent/);
  await page.goto(`/requests/${waiting}`);
  await visitor.heading(`Request ${waiting}: awaiting approval`);
});

fact("a_request_is_cancelled_by_two_touches_and_not_by_one", PHONE, async (visitor, page) => {
  const request = await place.enqueue(...contacts(130));
  await visitor.signIn();
  await visitor.goUntil(`/requests/${request}`, `#cancel-${request}-more`);
  assert.equal(await page.locator(`#cancel-${request}`).isVisible(), false, "one touch would do");
  await page.locator(`#cancel-${request}-more summary`).tap();
  await page.locator(`#cancel-${request}`).tap();
  await page.locator("#notice").waitFor();
  await page.goto(`/requests/${request}`);
  await visitor.heading(`Request ${request}: cancelled`);
  assert.match(await visitor.text("#contacts .counts"), /130 cancelled/);
});

fact("a_job_in_doubt_is_decided_by_a_button_with_the_evidence_beside_it", {}, async (visitor, page) => {
  const request = await place.enqueue("--search-companies", "Acme", "--approve");
  await visitor.signIn();
  await page.goto("/");
  const need = page.locator("article.need", { hasText: "Decide on" });
  await need.waitFor();
  assert.match(await need.innerText(), /Evidence: /);
  await visitor.picture("in-doubt");
  await need.getByRole("textbox").fill("50");
  await need.getByRole("button", { name: "Send again" }).click();
  await page.locator("#notice").waitFor();
  await page.goto(`/requests/${request}`);
  await visitor.heading(`Request ${request}: done`);
  assert.match(await visitor.text("#result"), /Outcome found Credits used 50 Found 45 results/);
  await page.goto("/");
  assert.match(await visitor.text("#ended"), /found: 45 results/);
});

fact("a_value_is_masked_then_shown_then_masked_again", {}, async (visitor, page) => {
  await visitor.signIn();
  await page.goto(`/requests/${done}?outcome=delivered`);
  assert.ok(!(await page.content()).includes("contact-7000"), "a value is in the page before it is asked for");
  assert.match(await visitor.text("#contacts"), /700000 delivered c•••@example.com/);
  await page.getByRole("button", { name: "Reveal the value of contact 700003" }).click();
  await page.locator(".revealed").waitFor();
  assert.equal(await page.locator(".revealed").innerText(), "contact-700003@example.com");
  assert.equal((await page.content()).match(/contact-7000/g).length, 1, "one value only");
  await page.goto(`/requests/${done}?outcome=delivered`);
  assert.ok(!(await page.content()).includes("contact-7000"), "it stays visible");
});

fact("everything_works_without_script", NO_SCRIPT, async (visitor, page) => {
  const [bought, dropped] = [await place.enqueue(...contacts(101)), await place.enqueue(...contacts(102))];
  const search = await place.enqueue("--search-events", "Acme", "--approve");
  await visitor.signIn();
  await visitor.goUntil(`/requests/${bought}`, `#approve-${bought}`);
  await approve(visitor, bought, "1515");
  assert.match(await visitor.text("#notice"), /[Aa]pproved/);
  await visitor.goUntil(`/requests/${dropped}`, `#cancel-${dropped}-more`);
  await page.locator(`#cancel-${dropped}-more summary`).click();
  await confirm(page.locator(`form:has(#cancel-${dropped})`));
  await page.locator(`#cancel-${dropped}`).click();
  await visitor.goUntil(`/requests/${dropped}`, `h1:has-text("cancelled")`);

  await visitor.goUntil("/", `article.need:has-text("Decide on")`);
  const need = page.locator("article.need", { hasText: "Decide on" });
  await need.locator("summary").click();
  const writeOff = page.getByRole("button", { name: "Write off" });
  await confirm(need.locator("form", { has: writeOff }));
  await need.locator(writeOff).click();
  await page.locator("#notice").waitFor();
  await visitor.goUntil(`/requests/${search}`, `h1:has-text("done")`);

  await visitor.goUntil(`/requests/${bought}`, `h1:has-text("done")`);
  await confirm(page.locator("form:has([id^=reveal-])").first());
  await page.locator("[id^=reveal-]").first().click();
  assert.match(await page.locator(".revealed").innerText(), /^contact-\d+@example\.com$/);
  assert.equal(await page.locator("#live").isVisible(), false, "a button that would do nothing");
  await page.locator("#sign-out").click();
  await page.locator("#sign-in").waitFor();
});

fact("the_keyboard_is_enough_and_the_focus_is_always_seen", {}, async (visitor, page) => {
  const request = await place.enqueue(...contacts(103));
  /** Presses Tab until the focus is on what `selector` names; every stop has to be visible. */
  const tabTo = async (selector) => {
    for (let presses = 0; presses < 120; presses += 1) {
      await page.keyboard.press("Tab");
      const stop = await page.evaluate((selector) => {
        const one = document.activeElement;
        const style = getComputedStyle(one);
        const box = one.getBoundingClientRect();
        return {
          isThere: one.matches(selector),
          what: one.outerHTML.slice(0, 120),
          isSeen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 && box.right > 0 && box.bottom > 0,
        };
      }, selector);
      assert.ok(stop.isSeen, `the focus cannot be seen on ${stop.what}`);
      if (stop.isThere) return;
    }
    assert.fail(`no Tab leads to ${selector}`);
  };
  await page.goto("/");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to content");
  await visitor.picture("skip-link");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  await page.goto("/");
  await tabTo("#sign-in");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/session");
  await tabTo("#token");
  await page.keyboard.type(TOKEN);
  await page.keyboard.press("Enter");
  await page.locator("#sign-out").waitFor();

  await visitor.goUntil(`/requests/${request}`, `#approve-${request}-credits`);
  await tabTo(`#approve-${request}-credits`);
  await visitor.picture("focus");
  await page.keyboard.type("1545");
  await page.keyboard.press("Enter");
  await page.locator("#notice").waitFor();
  await page.goto(`/requests/${request}`);
  await visitor.heading(`Request ${request}: done`);
  await page.reload();
  await tabTo("[id^=reveal-]");
  await page.keyboard.press("Enter");
  await page.locator(".revealed").waitFor();
});

fact("the_header_marks_the_page_that_one_is_on", {}, async (visitor, page) => {
  await page.goto("/session");
  const pages = page.getByRole("navigation", { name: "Pages" });
  const marked = pages.locator("[aria-current]");
  assert.equal(await marked.count(), 0);
  for (const name of ["Overview", "Requests", "Jobs"]) {
    await pages.getByRole("link", { name }).click();
    await pages.locator("[aria-current=page]", { hasText: name }).waitFor();
    assert.equal(await marked.count(), 1, name);
    const line = await marked.evaluate((link) => getComputedStyle(link).textDecorationLine);
    assert.equal(line, "underline", "not by colour alone");
  }
});

fact("the_order_of_tabs_is_the_order_of_reading", {}, async (visitor, page) => {
  await visitor.signIn();
  for (const path of ["/", `/requests/${waiting}`, "/requests"]) {
    await page.goto(path);
    const expected = await page.evaluate(() => {
      const all = document.querySelectorAll("a[href], button, input:not([type=hidden]), summary, [tabindex='0']");
      const shown = [...all].filter((one) => one.checkVisibility() && !one.disabled);
      shown.forEach((one, at) => one.setAttribute("data-at", at));
      return shown.length;
    });
    for (let at = 0; at < expected; at += 1) {
      await page.keyboard.press("Tab");
      assert.equal(await page.evaluate(() => document.activeElement.dataset.at), String(at), path);
    }
  }
});

const everyPage = () =>
  ["/", "/?span=7d", "/requests", "/requests?status=done", `/requests/${done}`, `/requests/${waiting}`, "/jobs", "/jobs/1", "/session", "/nothing"];

for (const [name, options] of [["a_phone", PHONE], ["a_screen_of_320_pixels", NARROW]]) {
  fact(`no_page_scrolls_sideways_on_${name}`, options, async (visitor, page) => {
    for (const isSignedIn of [false, true]) {
      if (isSignedIn) await visitor.signIn();
      for (const path of everyPage()) {
        if (path === "/nothing") visitor.expects(/status of 404/);
        await page.goto(path);
        const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
        assert.equal(room, options.viewport.width, `${path} is laid out wider than the screen`);
        assert.ok(wide <= room, `${path} is ${wide} wide`);
      }
    }
  });
}

for (const [name, options] of [["light", {}], ["dark", DARK], ["on_a_phone", PHONE]]) {
  fact(`axe_finds_nothing_to_mend_${name}`, options, async (visitor, page) => {
    for (const isSignedIn of [false, true]) {
      if (isSignedIn) await visitor.signIn();
      for (const path of everyPage()) {
        if (path === "/nothing") visitor.expects(/status of 404/);
        await page.goto(path);
        await page.evaluate(axe);
        const found = await page.evaluate(async () => {
          const { violations, passes } = await window.axe.run({ resultTypes: ["violations"] });
          const told = violations.flatMap((one) => one.nodes.map((node) => `${one.id}: ${node.html} ${node.failureSummary}`));
          return { told, looked: passes.length };
        });
        assert.deepEqual(found.told, [], path);
        assert.ok(found.looked > 10, "axe looked at nothing");
      }
    }
  });
}

fact("the_pages_are_dark_if_the_browser_asks_for_it", DARK, async (visitor, page) => {
  await page.goto("/");
  const shade = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor.match(/\d+/g).map(Number));
  assert.ok((await shade()).every((part) => part < 40), "the paper is bright");
  await page.emulateMedia({ colorScheme: "light" });
  assert.ok((await shade()).every((part) => part > 240), "the paper is dark");
});

fact("script_in_a_reference_is_text", {}, async (visitor, page) => {
  await visitor.signIn();
  for (const [path, where] of [["/", "#ended"], ["/requests", "main"], [`/requests/${done}`, "#reference"]]) {
    await page.goto(path);
    assert.ok((await visitor.text(where)).includes(REFERENCE), `${path} shows it as it was written`);
    assert.equal(await page.evaluate(() => window.owned), undefined, `${path} ran it`);
    assert.equal(await page.locator("main img, main script").count(), 0, path);
  }
});

fact("a_script_that_is_not_the_servers_own_is_refused_by_the_browser", {}, async (visitor, page) => {
  await page.goto("/");
  visitor.expects(/Content Security Policy/);
  await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "window.owned = 3";
    document.body.append(script);
  });
  assert.equal(await page.evaluate(() => window.owned), undefined);
});

fact("a_refresh_leaves_alone_what_somebody_types", {}, async (visitor, page) => {
  await page.clock.install();
  await visitor.signIn();
  await page.goto(`/requests/${waiting}`);
  const field = page.locator(`#approve-${waiting}-credits`);
  let refreshes = 0;
  page.on("request", (request) => { if (request.resourceType() === "fetch") refreshes += 1; });
  await field.fill("18");
  await page.clock.runFor(30_000);
  assert.deepEqual([await field.inputValue(), refreshes], ["18", 0]);
  await field.fill("");
  await page.locator("#live-toggle").click();
  await page.clock.runFor(30_000);
  assert.equal(refreshes, 0, "it is paused");
  await page.locator("#live-toggle").click();
  await until(() => refreshes > 0, "it goes on");
  assert.equal(await page.evaluate(() => document.activeElement.id), "live-toggle", "the focus stays");
});

fact("after_signing_out_the_back_button_shows_nothing_personal", {}, async (visitor, page) => {
  await visitor.signIn();
  await page.goto(`/requests/${done}?outcome=delivered`);
  await page.locator("[id^=reveal-]").first().click();
  await page.locator(".revealed").waitFor();
  await page.goto(`/requests/${done}`);
  assert.match(await visitor.text(), /700000/);
  await page.locator("#sign-out").click();
  await page.locator("#sign-in").waitFor();
  const showsNothing = async (where) => {
    let shown = "";
    // A page that is on its way cannot be read yet.
    await until(() => page.content().then((content) => { shown = content; return true; }, () => false), `${where} can be read`);
    for (const personal of ["700000", "example.com", "window.owned"]) {
      assert.ok(!shown.includes(personal), `${where} shows ${personal}`);
    }
  };
  const forStrangers = page.getByText("Sign in to see which contacts these are.");
  await page.goBack();
  await forStrangers.waitFor();
  await showsNothing("the request");
  // The answer to a form is not asked for again by a step back: the browser shows a page of its own.
  await assert.rejects(page.goBack(), /ERR_CACHE_MISS/);
  await showsNothing("the revealed value");
  await page.goBack();
  await forStrangers.waitFor();
  assert.match(page.url(), /outcome=delivered/);
  await showsNothing("the list with the button");
});

for (const [name, options] of [["wide", {}], ["dark", DARK], ["phone", PHONE], ["phone-dark", { ...PHONE, ...DARK }]]) {
  fact(`pictures_are_taken_${name.replace("-", "_")}`, options, async (visitor, page) => {
    await page.goto("/session");
    await visitor.picture(`sign-in-${name}`);
    await page.goto("/");
    await visitor.picture(`stranger-${name}`);
    await visitor.signIn();
    for (const [path, of] of [["/", "overview"], [`/requests/${done}`, "request"], [`/requests/${waiting}`, "approval"], ["/requests", "requests"], ["/jobs/1", "job"]]) {
      await page.goto(path);
      await visitor.picture(`${of}-${name}`);
    }
  });
}

test("nothing_on_any_page_comes_from_another_host", () => {
  assert.deepEqual([...hostsAsked], [new URL(place.url).host]);
});
