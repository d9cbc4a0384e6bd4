// The pane beside the list: it is a modal dialog with a place in the browser's history, what is typed into it is kept until it is sent or
// discarded, and what became of a request is said where somebody looks. Without this every link and form leads to a page of its own.
(() => {
  "use strict";

  const { all, announce, untick, minutes, tick } = window.portcullis;
  const pane = document.getElementById("pane");
  const offline = document.getElementById("offline");
  const shown = () => document.querySelector("#pane .panel, main .panel");

  // The address of what a panel shows, which is a link to it; "" where it has none.
  const addressOf = (panel) => {
    if (!panel || panel.dataset.address) return panel?.dataset.address || "";
    const form = panel.querySelector("form.fill");
    if (!form || form.dataset.once !== undefined) return ""; // asked once: no link leads to it, and no tick of it is kept
    const q = new URLSearchParams(all(form, 'input[name="vm"]').map((el) => ["vm", el.value])).toString();
    return q && q.length < 4000 ? `${form.getAttribute("action")}?${q}` : "";
  };

  // Messages stand in the footer, which is always in view, or beside the control that was used.
  const say = (place, level, text, ...buttons) => {
    place.querySelector(":scope > .said[data-by-script]")?.remove();
    const p = document.createElement("p");
    p.className = `said ${level}`;
    p.dataset.byScript = "";
    p.setAttribute("role", "alert");
    p.append(text, ...buttons.map(([name, done]) => {
      if (typeof done === "string") return Object.assign(document.createElement("a"), { className: "button small", href: done, textContent: name });
      const b = Object.assign(document.createElement("button"), { type: "button", className: "small", textContent: name });
      b.addEventListener("click", () => { p.remove(); done(); });
      return b;
    }));
    place.prepend(p);
    return p;
  };
  const footer = (panel) => panel.querySelector(":scope > footer, :scope > form > footer") || panel.appendChild(document.createElement("footer"));

  // Drafts: what is typed into a panel's form, kept in this tab for whoever is signed in, until it is sent or discarded. These forms hold no
  // secrets; a field that did would be of the type password, which is left out.
  const prefix = "portcullis:draft:", mostDrafts = 20;
  const who = document.querySelector(".who strong")?.title || "";
  const store = (() => { try { return window.sessionStorage; } catch { return null; } })();
  const drafts = () => Object.keys(store || {}).filter((k) => k.startsWith(prefix));
  if (who) for (const k of drafts()) if (!k.startsWith(`${prefix}${who}:`)) store.removeItem(k);
  const keyOf = (panel) => { const a = panel?.querySelector("form.fill") && panel.dataset.changed === undefined && addressOf(panel); return a && who ? `${prefix}${who}:${a}` : ""; };
  let edited = false;
  const keep = (panel) => {
    const key = keyOf(panel);
    if (!key || !store) return;
    const secret = new Set(all(panel, "input[type=password], input[type=file]").map((el) => el.name));
    const fields = [...new FormData(panel.querySelector("form.fill"))].filter(([name, value]) => name !== "intent" && typeof value === "string" && !secret.has(name));
    try {
      if (store.getItem(key) === null) for (const k of drafts().slice(mostDrafts - 1)) store.removeItem(k);
      store.setItem(key, JSON.stringify(fields));
    } catch { /* the storage is full: the form itself still holds it */ }
  };
  const forget = (key) => { edited = false; if (key) store?.removeItem(key); };
  document.addEventListener("input", (e) => {
    const panel = e.target.closest("form.fill") && e.target.closest(".panel");
    if (!panel) return;
    edited = true;
    keep(panel);
  });

  // restore writes a draft into a form that was drawn anew; rows that the form does not have are drawn by the server.
  const restore = (panel) => {
    const key = keyOf(panel), text = key && store?.getItem(key);
    if (!text) return;
    const form = panel.querySelector("form.fill"), fields = JSON.parse(text);
    const values = {};
    for (const [name, value] of fields) (values[name] ||= []).push(value);
    edited = true;
    if (form.id === "configure") {
      window.htmx.ajax("POST", form.getAttribute("action"), { source: panel, target: panel, swap: "outerHTML", values: { ...values, intent: "edit" } });
      return;
    }
    for (const el of all(form, "[name]:not([type=hidden])")) {
      if (el.matches("[type=checkbox], [type=radio]")) el.checked = (values[el.name] || []).includes(el.value);
      else if (values[el.name] && el.matches("input, textarea, select")) el.value = values[el.name][0];
      const slider = el.dataset.slider && document.getElementById(el.dataset.slider), m = slider && minutes(el.value);
      if (m) slider.value = m;
    }
    kept(panel);
  };
  const kept = (panel) => say(footer(panel), "note", "What you typed before is kept. ", ["Start again", () => {
    forget(keyOf(panel));
    window.htmx.ajax("GET", addressOf(panel), { source: panel, target: panel, swap: "outerHTML" });
  }]);

  // Who leaves a form that was typed into is asked first. leave goes on by what it is given.
  const leave = (go) => {
    const panel = shown();
    if (!edited || !panel || !keyOf(panel)) { go(); return; }
    const p = say(footer(panel), "warn", "Discard what you typed? ", ["Keep editing", () => panel.querySelector("h2").focus()], ["Discard", () => { forget(keyOf(panel)); go(); }]);
    p.querySelector("button").focus();
  };
  document.addEventListener("click", (e) => {
    const close = e.target.closest("[data-close]");
    if (!close && e.target !== pane) return;
    if (pane.open) {
      e.preventDefault();
      leave(() => shut());
    } else if (edited) {
      e.preventDefault();
      leave(() => { location.href = close.href; });
    }
  });
  pane.addEventListener("cancel", (e) => {
    if (!edited) return;
    e.preventDefault();
    leave(() => shut());
  });
  // A browser closes a dialog at the second Esc whatever is said to the first.
  pane.addEventListener("keydown", (e) => { if (e.key === "Escape" && edited) { e.preventDefault(); leave(() => shut()); } });

  // The pane in the history: Back closes it, Forward opens it again.
  if (history.state?.pane) history.replaceState(null, "");
  let again = false; // the browser went forward to what is drawn next
  const place = (panel) => {
    const to = addressOf(panel);
    if (!to) return;
    if (!pane.contains(panel) || history.state?.pane) history.replaceState(pane.contains(panel) ? { pane: to } : history.state, "", to);
    else if (!again) history.pushState({ pane: to }, "", to);
    again = false;
  };
  window.addEventListener("popstate", (e) => {
    if (e.state?.pane && !pane.open) {
      again = true;
      window.htmx.ajax("GET", e.state.pane, { target: "#pane", swap: "innerHTML" });
    } else if (!e.state?.pane && pane.open) {
      if (edited && keyOf(shown())) {
        const to = addressOf(shown());
        history.pushState({ pane: to }, "", to);
      }
      leave(() => shut());
    }
  });

  let opener = null, said = "", posted = false, before = "";
  const filled = (panel) => {
    if (panel.dataset.changed !== undefined) {
      if (posted) forget(before);
      if (!said || panel.dataset.say !== said) {
        untick(all(panel, "[data-did]").map((el) => el.dataset.did));
        window.htmx?.trigger(document.body, "machines-changed");
      }
    }
    // A panel that looks again by itself is the same one: it says what is new and leaves the focus alone.
    const looks = panel.dataset.say && said;
    if (panel.dataset.say && panel.dataset.say !== said) announce(panel.dataset.say);
    said = panel.dataset.say || "";
    if (!posted && !looks) edited = false;
    place(panel);
    const opens = pane.contains(panel) && !pane.open;
    if (opens) {
      opener = document.activeElement;
      pane.showModal();
    }
    if (posted && edited) keep(panel);
    else if (!posted) restore(panel);
    posted = false;
    tick();
    if (!opens && looks && panel.contains(document.activeElement)) return;
    const first = panel.querySelector('[aria-invalid="true"]') || panel.querySelector("[data-first]") || panel.querySelector("h2");
    if (first?.matches("h2")) (pane.contains(panel) ? pane : window).scrollTo(0, 0);
    first?.focus();
  };
  document.body.addEventListener("htmx:load", (e) => { if (e.detail.elt.matches?.(".panel")) filled(e.detail.elt); });
  // The event comes late: Forward may have opened the pane again by then. So what closing means is done at once, and by the event only
  // where the browser closed it by itself.
  const shut = () => {
    if (pane.open) pane.close();
    if (!pane.firstChild) return;
    const id = opener?.id;
    pane.replaceChildren();
    said = "";
    edited = false;
    if (history.state?.pane) history.back();
    const back = opener?.isConnected ? opener : id && document.getElementById(id);
    if (back) back.focus();
    tick();
    window.htmx?.trigger(document.body, "windows-changed");
  };
  pane.addEventListener("close", () => { if (!pane.open) shut(); });

  // The control that was used says that it is at work; it says what it said before once there is an answer.
  const busy = new Map();
  const controlOf = (d) => d.requestConfig?.triggeringEvent?.submitter || d.elt;
  document.body.addEventListener("htmx:beforeRequest", (e) => {
    const el = controlOf(e.detail);
    el.closest?.(".actions, .selection, footer, form")?.querySelector(".said[data-by-script]")?.remove();
    if (!el.matches?.("a, button") || busy.has(el)) return;
    busy.set(el, [...el.childNodes]);
    el.setAttribute("aria-busy", "true");
    el.replaceChildren(el.dataset.busy || "Opening…");
  });
  document.body.addEventListener("htmx:afterRequest", (e) => {
    const el = controlOf(e.detail), was = busy.get(el);
    if (!was) return;
    busy.delete(el);
    el.removeAttribute("aria-busy");
    el.replaceChildren(...was);
  });

  // What went wrong is said where the control is, which keeps its fields and can be used again.
  const looksOf = (elt) => elt === elt.closest(".panel") || elt.id === "open" || !elt.isConnected || elt === document.body;
  const resend = (d) => {
    const { elt } = d.requestConfig || d, control = controlOf(d);
    if (looksOf(elt)) window.htmx.trigger(document.body, "windows-changed");
    else if (elt.matches("form")) elt.requestSubmit(control.matches?.("button, input") && control.isConnected ? control : undefined);
    else control.click();
  };
  const fail = (d, text, ...buttons) => {
    const { elt } = d.requestConfig || d, panel = elt.closest(".panel"), looks = looksOf(elt);
    if (looks && !panel) {
      offline.hidden = false;
      offline.querySelector("[data-why]").textContent = text;
      return;
    }
    const at = panel ? footer(panel) : elt.closest(".selection, form:not([data-selection]), th, td, li") || elt.parentElement;
    const p = say(at, "bad", `${text} `, ...(buttons.length ? buttons : looks ? [] : [["Try again", () => resend(d)]]));
    if (!looks) p.querySelector("button, a")?.focus();
  };
  const lost = (e) => {
    const post = e.detail.requestConfig?.verb === "post";
    fail(e.detail, navigator.onLine === false ? "You are offline. Nothing was sent." : post ? "The app did not answer. It may have been done all the same: look at what is open before you try again." : "The app did not answer.");
  };
  let renewed = false; // the last refusal led to a token, and nothing was answered with it yet
  document.body.addEventListener("htmx:sendError", lost);
  document.body.addEventListener("htmx:timeout", lost);
  document.body.addEventListener("htmx:beforeSwap", (e) => {
    const d = e.detail, { xhr, target, requestConfig } = d, post = requestConfig.verb === "post";
    const view = xhr.getResponseHeader("Portcullis-View");
    if (xhr.status !== 401) renewed = false;
    if (xhr.status === 401) {
      d.shouldSwap = false;
      const to = addressOf(requestConfig.elt.closest(".panel")) || requestConfig.elt.getAttribute("href") || location.pathname + location.search;
      const out = () => fail(d, edited ? "You are signed out. What you typed is kept." : "You are signed out.", ["Sign in", to]);
      // A call that was refused did nothing, so it is sent again once: the token may have ended within the session.
      if (renewed) out();
      else window.portcullis.renew().then((ok) => {
        renewed = ok;
        if (ok) resend(d);
        else out();
      });
      return;
    } else if (!view || xhr.status >= 500 && !post && view === "refused") { // of the platform, or nothing to look at
      d.shouldSwap = false;
      fail(d, `The app could not answer (${xhr.status}).`);
    } else if (post && view === "refused") {
      d.shouldSwap = false;
      const told = new DOMParser().parseFromString(xhr.response, "text/html").querySelector("[role=alert] p");
      fail(d, told?.textContent || `This was not done (${xhr.status}).`);
    } else if (target.matches(".panel, #pane")) {
      // A panel that looks again by itself stays while a form of it is under way: the answer goes into it, and is newer.
      if (requestConfig.elt === target && requestConfig.verb === "get" && target.querySelector(".htmx-request")) d.shouldSwap = false;
      else if (d.shouldSwap) {
        posted = post && requestConfig.elt.closest(".panel") !== null;
        before = keyOf(shown());
      }
    }
    if (d.shouldSwap && !d.isError) offline.hidden = true;
  });

  if (document.querySelector("main .panel")) filled(document.querySelector("main .panel"));
})();
