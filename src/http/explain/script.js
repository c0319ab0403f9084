// What a script adds: the page asks for itself anew and swaps what has changed, so that place, focus, what is open and
// what is being typed stay as they are; and the filter acts while it is typed. Without it all works by links and forms.
(() => {
  "use strict";

  const period = Number(document.body.dataset.refresh) * 1000;
  const tools = document.getElementById("tools");
  let paused = false;
  let under = null;
  let address = location.href;

  // Swaps the parts of the page that live.
  const swap = (page) => {
    for (const part of document.querySelectorAll("[data-live]")) {
      const fresh = page.getElementById(part.id);
      if (!fresh) continue;
      const held = part.contains(document.activeElement) ? document.activeElement : null;
      for (const details of part.querySelectorAll("details[id]")) {
        const other = fresh.querySelector("#" + CSS.escape(details.id));
        if (other) other.open = details.open;
      }
      if (part.isEqualNode(fresh)) continue;
      const place = [scrollX, scrollY];
      const node = document.importNode(fresh, true);
      part.replaceWith(node);
      if (held) refocus(node, held);
      scrollTo(...place);
    }
  };

  // The same thing again, by its id, its address, or what it belongs to.
  const refocus = (node, held) => {
    const href = held.getAttribute("href");
    const details = held.closest("details[id]");
    const same = (held.id && node.querySelector("#" + CSS.escape(held.id)))
      || (href && node.querySelector(`[href="${CSS.escape(href)}"]`))
      || (details && node.querySelector(`#${CSS.escape(details.id)} > summary`));
    if (same) same.focus({ preventScroll: true });
  };

  const load = async (url) => {
    if (under) under.abort();
    const mine = under = new AbortController();
    try {
      const response = await fetch(url, { headers: { accept: "text/html" }, cache: "no-store", signal: mine.signal });
      const text = await response.text();
      if (mine !== under) return;
      const page = new DOMParser().parseFromString(text, "text/html");
      if (!response.ok || !page.querySelector("[data-live]")) {
        say(response.status === 403 ? "Signed out. Load the page again." : "Not refreshed: lastgreen said " + response.status + ".");
        return;
      }
      say("");
      swap(page);
    } catch (error) {
      if (error.name !== "AbortError") say("Not refreshed: lastgreen does not answer.");
    } finally {
      if (mine === under) under = null;
    }
  };

  const status = document.createElement("span");
  status.setAttribute("role", "status");
  const say = (text) => { if (status.textContent !== text) status.textContent = text; };

  if (period > 0) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "plain";
    const label = () => {
      button.textContent = paused ? "Refresh again" : "Pause refreshing";
    };
    button.addEventListener("click", () => { paused = !paused; label(); if (!paused) load(address); });
    label();
    tools.append(status, button);
    const selecting = () => String(getSelection()) !== "";
    setInterval(() => { if (!paused && !document.hidden && !under && !selecting()) load(address); }, period);
    document.addEventListener("visibilitychange", () => { if (!document.hidden && !paused) load(address); });
  } else if (tools) {
    tools.append(status);
  }

  const filter = document.getElementById("filter");
  if (filter) {
    let waiting;
    const apply = () => {
      const fields = [...new FormData(filter)].filter(([, value]) => value !== "");
      const query = new URLSearchParams(fields).toString();
      address = filter.action + (query ? "?" + query : "");
      history.replaceState(null, "", address);
      load(address);
    };
    filter.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(apply, 200); });
    filter.addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(waiting); apply(); });
  }
})();
