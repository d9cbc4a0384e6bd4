// What the page does in the browser beyond htmx: countdowns, copy buttons, the
// pane's dialog, the selection's count and the duration sliders. Everything can be
// read, and every form sent, without it.
(() => {
  "use strict";

  const all = (root, selector) => Array.from(root.querySelectorAll(selector));
  const pane = document.getElementById("pane");
  const announcer = document.getElementById("announce");
  document.documentElement.classList.add("scripted");

  const announce = (text) => { if (announcer) announcer.textContent = text; };

  // The server's clock, by which countdowns run: the browser's may be wrong.
  const skew = Date.parse(document.body.dataset.now || "") - Date.now() || 0;

  const clock = (ms) => {
    const s = Math.max(0, Math.ceil(ms / 1000));
    const two = (n) => String(n).padStart(2, "0");
    const h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
    return h > 0 ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`;
  };

  // The tab's title says what the pane shows, and how long what is open stays so.
  const plain = document.title;
  const title = (now) => {
    const panel = document.querySelector("#pane .panel");
    const open = (panel || document).querySelector("[data-countdown][data-title]"), left = open ? Date.parse(open.dataset.countdown) - now : 0;
    const head = panel?.querySelector("h2")?.textContent;
    document.title = left > 0 ? `${clock(left)} ${open.dataset.title} · Portcullis` : head ? `${head} · Portcullis` : plain;
  };

  const tick = () => {
    const now = Date.now() + skew;
    title(now);
    for (const el of all(document, "[data-countdown]")) {
      const left = Date.parse(el.dataset.countdown) - now;
      el.textContent = left > 0 ? clock(left) : "closing";
      el.classList.toggle("soon", left > 0 && left < 60000);
      if (left > 0 && left <= 60000 && left > 30000 && !el.dataset.warned) {
        el.dataset.warned = "1";
        if (el.dataset.what) announce(`${el.dataset.what} closes in one minute`);
      }
      if (left <= 0 && !el.dataset.over) {
        el.dataset.over = "1";
        if (el.dataset.what) announce(`${el.dataset.what} is closing`);
        window.htmx?.trigger(document.body, "windows-changed");
      }
    }
  };
  setInterval(tick, 1000);

  // Every time is written in UTC; beside it stands the same in the zone of who reads, wherever that is another one.
  const utc = /(\d{1,2} [A-Z][a-z]{2} \d{4}, \d\d:\d\d:\d\d UTC)(?! \()/g;
  const here = (text) => {
    const at = new Date(text.replace(",", ""));
    if (Number.isNaN(at.getTime()) || at.getTimezoneOffset() === 0) return "";
    return at.toLocaleString("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZoneName: "short" });
  };
  const both = (text) => text.replace(utc, (t) => { const local = here(t); return local ? `${t} (${local})` : t; });
  const localize = (root) => {
    for (const el of [root, ...all(root, "[title], [aria-label], svg title")]) {
      for (const name of ["title", "aria-label"]) if (el.hasAttribute?.(name) && el.getAttribute(name).search(utc) >= 0) el.setAttribute(name, both(el.getAttribute(name)));
    }
    const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT), found = [];
    while (walk.nextNode()) if (walk.currentNode.data.search(utc) >= 0 && !walk.currentNode.parentElement.closest("textarea, code, script, .local, [data-countdown]")) found.push(walk.currentNode);
    for (const node of found) {
      const time = node.parentElement;
      if (!time.matches("time")) node.data = both(node.data);
      else if (!time.querySelector(".local")) {
        const local = here(node.data);
        if (local) time.append(Object.assign(document.createElement("span"), { className: "local", textContent: ` (${local})` }));
      }
    }
  };

  // Sliders write into the text field beside them, and read from it.
  const words = (minutes) => {
    const h = Math.floor(minutes / 60), m = minutes % 60;
    return [h ? `${h} h` : "", m || !h ? `${m} min` : ""].filter(Boolean).join(" ");
  };
  const minutes = (text) => {
    let total = 0, found = false;
    for (const [, n, unit] of text.toLowerCase().matchAll(/(\d+(?:\.\d+)?)\s*(d|h|m|s|$)[a-z]*/g)) {
      total += Number(n) * { d: 1440, h: 60, m: 1, s: 1 / 60, "": 1 }[unit];
      found = true;
    }
    return found ? Math.round(total) : null;
  };

  // What is ticked stays ticked while the list shows other machines: what is not in view is sent by hidden fields.
  const ticked = new Set();
  const boxes = (form) => all(form, 'tbody input[name="vm"]');

  const selection = (form) => {
    const shown = boxes(form), n = shown.filter((b) => b.checked).length;
    for (const b of shown) ticked[b.checked ? "add" : "delete"](b.value);
    for (const el of all(form, "[data-elsewhere]")) el.remove();
    const inView = new Set(shown.map((b) => b.value));
    const elsewhere = [...ticked].filter((id) => !inView.has(id));
    for (const id of elsewhere) {
      const el = document.createElement("input");
      Object.assign(el, { type: "hidden", name: "vm", value: id });
      el.dataset.elsewhere = "";
      form.append(el);
    }
    const count = form.querySelector("[data-count]");
    if (count) count.textContent = (ticked.size === 1 ? "1 machine selected" : `${ticked.size} machines selected`) + (elsewhere.length ? `, ${elsewhere.length} not in view` : "");
    const every = form.querySelector("[data-all]");
    if (every) {
      every.checked = n > 0 && n === shown.length;
      every.indeterminate = n > 0 && n < shown.length;
    }
  };
  const selections = (ticks) => {
    for (const form of all(document, "form[data-selection]")) {
      if (ticks) for (const b of boxes(form)) b.checked = ticked.has(b.value);
      selection(form);
    }
  };
  // What was done to machines needs no tick any more.
  const untick = (ids) => {
    for (const id of ids) ticked.delete(id);
    selections(true);
  };

  // Who says how long, or from where, has chosen what that belongs to.
  const pick = (el) => {
    const choice = document.getElementById(el.dataset.pick);
    if (choice) choice.checked = true;
  };

  document.addEventListener("input", (e) => {
    const el = e.target;
    if (el.matches("input[type=range][data-for]")) {
      const text = document.getElementById(el.dataset.for);
      text.value = words(Number(el.value));
      el.setAttribute("aria-valuetext", text.value);
      pick(text);
    } else if (el.matches("input[data-slider]")) {
      const slider = document.getElementById(el.dataset.slider), m = minutes(el.value);
      if (m !== null) slider.value = m;
      pick(el);
    } else if (el.matches('input[name="vm"]') && el.form) {
      selection(el.form);
    } else if (el.matches("[data-all]")) {
      for (const box of boxes(el.form)) box.checked = el.checked;
      selection(el.form);
    } else if (el.matches("[data-every]")) {
      for (const box of all(el.form, `[data-port="${el.dataset.every}"]`)) box.checked = el.checked;
    } else if (el.matches("[data-every-for]")) {
      const n = el.dataset.everyFor, m = minutes(el.value);
      document.getElementById(`every-${n}`).checked = true;
      for (const box of all(el.form, `[data-port="${n}"]`)) box.checked = true;
      for (const text of all(el.form, `[data-port-for="${n}"]`)) {
        // Where a machine allows less, its own longest time is what is asked for.
        const slider = document.getElementById(text.dataset.slider), most = Number(slider.max);
        text.value = m !== null && m > most ? words(most) : el.value;
        if (m !== null) slider.value = m;
      }
    } else if (el.matches("[data-pick]")) {
      pick(el);
    }
  });

  document.addEventListener("click", (e) => {
    const copy = e.target.closest("[data-copy]");
    if (copy) {
      const was = copy.dataset.was ||= copy.textContent;
      navigator.clipboard.writeText(copy.dataset.copy).then(
        () => { copy.textContent = "Copied"; announce("Copied to the clipboard"); },
        () => { copy.textContent = "Press Ctrl+C"; if (copy.previousElementSibling) getSelection().selectAllChildren(copy.previousElementSibling); });
      setTimeout(() => { copy.textContent = was; }, 2000);
    }
    if (e.target.closest("[data-clear]")) {
      untick([...ticked]);
    }
  });

  document.body.addEventListener("htmx:load", (e) => {
    const el = e.detail.elt;
    if (el.id === "open") window.htmx.trigger(document.body, "windows-new");
    tick();
    localize(el);
    selections(el !== document.body); // one answer may replace several parts, in any order
  });
  // What is open and the rows of the list come in one answer, so that they never say two things. After what was done here both are asked
  // for whatever is shown.
  document.body.addEventListener("htmx:configRequest", (e) => {
    if (e.detail.elt.id === "open" && e.detail.triggeringEvent?.type === "machines-changed") delete e.detail.parameters.shown;
  });
  // Nothing is replaced under a finger or a button of the mouse that is down: it is asked for again once that is up.
  let pressed = false, late = false;
  document.addEventListener("pointerdown", () => { pressed = true; }, true);
  for (const up of ["pointerup", "pointercancel"]) document.addEventListener(up, () => {
    pressed = false;
    if (late) setTimeout(() => { late = false; window.htmx?.trigger(document.body, "windows-changed"); });
  }, true);

  document.body.addEventListener("htmx:beforeSwap", (e) => {
    if (pressed && e.detail.requestConfig.elt.id === "open" && e.detail.shouldSwap && e.detail.xhr.getResponseHeader("HX-Reswap") !== "none") {
      late = true;
      e.detail.shouldSwap = false;
    }
  });

  // Find looks while somebody types; the address follows, and so does what is said.
  const text = document.getElementById("text");
  document.addEventListener("keydown", (e) => {
    if (e.key !== "/" || e.ctrlKey || e.metaKey || e.altKey || !text || pane?.open) return;
    if (e.target.closest('textarea, select, input:not([type="checkbox"], [type="radio"])')) return;
    e.preventDefault();
    text.focus();
    text.select();
  });
  document.body.addEventListener("htmx:afterSwap", (e) => {
    if (e.detail.requestConfig?.elt.id !== "filters") return;
    const results = document.getElementById("results");
    history.replaceState(history.state, "", results.dataset.here);
    const n = results.querySelector(".tabs [aria-current] .count").textContent;
    announce(n === "1" ? "1 machine found" : `${n} machines found`);
  });

  // What pane.js needs of all this.
  window.portcullis = { all, announce, untick, minutes, tick };
  selections(false);
  localize(document.body);
  tick();
})();
