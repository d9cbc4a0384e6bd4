// Keeps the token of a session fresh. App Service signs people in for eight hours, but forwards an ID token that ends after one, and
// renews it only when a browser asks at /.auth/refresh, which answers without any token. Nothing here decides who somebody is:
// the app verifies the token of every call.
(() => {
  "use strict";

  const asked = "portcullis-renewed"; // when it was last asked for, by any tab; absent once signed out
  const every = 20 * 60_000;
  const signedIn = document.querySelector(".who") !== null;

  let under = null; // what is under way: however many calls are refused together, it is asked for once
  const renew = () => {
    localStorage.setItem(asked, String(Date.now()));
    under ||= fetch("/.auth/refresh", { cache: "no-store", redirect: "error" }).then((r) => r.ok, () => false).finally(() => { under = null; });
    return under;
  };
  const due = () => { if (Date.now() - Number(localStorage.getItem(asked)) > every) renew(); };

  if (signedIn) {
    due();
    setInterval(due, 60_000);
    document.addEventListener("visibilitychange", due); // no timer runs in a laptop that sleeps
    document.addEventListener("click", (e) => { if (e.target.closest('a[href^="/.auth/logout"]')) localStorage.removeItem(asked); });
  } else if (localStorage.getItem(asked) !== null && Date.now() - Number(sessionStorage.getItem(asked)) > 60_000) {
    // Who was signed in and comes back after an hour is not asked who they are. Once a minute at most: a renewed token may be refused too.
    sessionStorage.setItem(asked, String(Date.now()));
    renew().then((ok) => { if (ok) location.replace(location.href); });
  }

  window.portcullis.renew = renew;
})();
