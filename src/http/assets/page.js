// Keeps the proof of the session, which the address holds after the sign-in, and puts it into every form in
// place of the field for the token. Storage, unlike cookies, is not shared with other ports of this machine.
//
// Keeps the page fresh: fetches it again and swaps its main part. Does nothing while the tab is hidden,
// while the user types or selects text, or while refresh is paused. Everything works without this file.
"use strict";
(() => {
  const PROOF = "unlockd-proof";
  const given = /^#proof=([0-9a-f]+)$/.exec(location.hash);
  if (given) {
    localStorage.setItem(PROOF, given[1]);
    history.replaceState(null, "", location.pathname + location.search);
  }
  const prove = (part) => {
    const proof = localStorage.getItem(PROOF);
    if (!proof) return;
    part.querySelectorAll("form .proof").forEach((field) => {
      const hidden = document.createElement("input");
      Object.assign(hidden, { type: "hidden", name: "proof", value: proof });
      field.replaceWith(hidden);
    });
  };
  prove(document);
  document.addEventListener("submit", (event) => {
    if (new URL(event.target.action).pathname === "/session/end") localStorage.removeItem(PROOF);
  });

  const EVERY_MS = 5000;
  const live = document.getElementById("live");
  if (!live) return;
  const toggle = document.getElementById("live-toggle");
  const status = document.getElementById("live-status");
  let paused = false;

  const main = () => document.getElementById("main");

  const isBusy = () => {
    const active = document.activeElement;
    const typing = active && ["INPUT", "SELECT", "TEXTAREA"].includes(active.tagName);
    const typed = [...main().querySelectorAll("input:not([type=hidden])")].some((field) => field.value !== "");
    const selection = document.getSelection();
    return typing || typed || (selection && !selection.isCollapsed);
  };

  const swap = (fresh) => {
    const old = main();
    const open = [...old.querySelectorAll("details[open]")].map((one) => one.id);
    const scrolled = [...old.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    const href = focused && focused.getAttribute("href");
    const id = focused && focused.id;
    prove(fresh);
    old.replaceWith(fresh);
    open.forEach((one) => one && document.getElementById(one)?.setAttribute("open", ""));
    fresh.querySelectorAll(".scroll").forEach((one, at) => { one.scrollLeft = scrolled[at] || 0; });
    const again = id ? document.getElementById(id)
      : href && [...fresh.querySelectorAll("a")].find((one) => one.getAttribute("href") === href);
    again?.focus({ preventScroll: true });
  };

  const refresh = async () => {
    if (paused || document.hidden || isBusy()) return;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin", cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("main");
      if (!fresh || paused || isBusy()) return;
      swap(fresh);
      document.title = page.title;
      if (status.textContent) status.textContent = "";
    } catch {
      const text = "unlockd does not answer: what you see may be out of date";
      if (status.textContent !== text) status.textContent = text;
    }
  };

  toggle.addEventListener("click", () => {
    paused = !paused;
    toggle.setAttribute("aria-pressed", String(paused));
    toggle.textContent = paused ? "Refresh is paused" : "Pause refresh";
    if (!paused) refresh();
  });
  document.addEventListener("visibilitychange", refresh);
  live.hidden = false;
  setInterval(refresh, EVERY_MS);
})();
