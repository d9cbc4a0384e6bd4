// The name that somebody has on machines is asked for once, kept in this browser for whoever is signed in, and put into what is copied and
// downloaded. The app never sees it but in the address of a file for remote desktops.
(() => {
  "use strict";

  const { all } = window.portcullis;
  const who = document.querySelector(".who strong")?.title || "";
  const key = `portcullis-person:${who}`;
  // No blank, no quote, nothing that a shell reads but the backslash of a domain, and no option.
  const right = /^[A-Za-z0-9_][A-Za-z0-9._@\\-]{0,103}$/;
  let name = "";
  try {
    const kept = localStorage.getItem(key) || "";
    if (right.test(kept)) name = kept;
  } catch { /* it is asked for on each page then */ }

  const show = (code, text) => {
    if (code.textContent !== text) code.textContent = text;
    const copy = code.nextElementSibling;
    if (copy?.matches("[data-copy]")) copy.dataset.copy = text;
  };
  const fill = () => {
    const quoted = name.includes("\\") ? `'${name}'` : name;
    for (const code of all(document, "code[data-as]")) show(code, code.dataset.as.replace("{}", () => quoted || "user"));
    // Whose name is an address signs in with Entra ID, as the Azure CLI does by itself.
    for (const code of all(document, "code[data-cli]")) show(code, code.dataset.cli + (name && !name.includes("@") ? ` --local-user ${quoted}` : ""));
    for (const a of all(document, "a[data-rdp]")) a.setAttribute("href", a.dataset.rdp + (name ? `&user=${encodeURIComponent(name)}` : ""));
    for (const b of all(document, "[data-copy-all]")) b.dataset.copy = all(b.closest(".panel"), ".dial code:not([data-cli])").map((c) => c.textContent).join("\n");
    for (const el of all(document, "[data-person]")) if (el !== document.activeElement) el.value = name;
  };
  document.addEventListener("input", (e) => {
    if (!e.target.matches("[data-person]")) return;
    const typed = e.target.value.trim(), ok = typed === "" || right.test(typed);
    e.target.toggleAttribute("aria-invalid", false);
    if (!ok) { e.target.setAttribute("aria-invalid", "true"); return; }
    name = typed;
    try {
      if (name) localStorage.setItem(key, name);
      else localStorage.removeItem(key);
    } catch { /* as above */ }
    fill();
  });
  document.body.addEventListener("htmx:load", fill);
  fill();
})();
