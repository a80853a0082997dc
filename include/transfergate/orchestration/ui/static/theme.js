// Light or dark as the page around us (Airflow's own switch) says, else as the system says.
// Runs before anything is painted. Charts listen to the event "transfergate:theme".
"use strict";
(() => {
  const root = document.documentElement;
  const around = () => {
    try {
      return window.parent !== window ? window.parent.document.documentElement : null;
    } catch {
      return null; // framed by another origin
    }
  };
  const system = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => {
    const outer = around();
    const theme = outer?.classList.contains("dark")
      ? "dark"
      : outer?.classList.contains("light") ? "light" : system.matches ? "dark" : "light";
    if (root.dataset.theme === theme) return;
    root.dataset.theme = theme;
    document.dispatchEvent(new CustomEvent("transfergate:theme", { detail: theme }));
  };
  follow();
  system.addEventListener("change", follow);
  const outer = around();
  if (outer) new MutationObserver(follow).observe(outer, { attributeFilter: ["class"] });
  if (outer) root.classList.add("framed");
})();
