// Light or dark as the page around us says (Airflow's own switch), else as the system says.
"use strict";
(() => {
  const outer = () => {
    try {
      return window.parent === window ? null : window.parent.document.documentElement;
    } catch {
      return null; // framed by another origin
    }
  };
  const around = outer();
  const system = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => {
    const said = ["dark", "light"].find((theme) => around?.classList.contains(theme));
    document.documentElement.dataset.theme = said ?? (system.matches ? "dark" : "light");
  };
  follow();
  system.addEventListener("change", follow);
  if (around) new MutationObserver(follow).observe(around, { attributeFilter: ["class"] });
})();
