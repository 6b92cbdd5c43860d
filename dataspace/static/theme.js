// Runs before the first paint: the colour scheme that the reader chose, else that of their system.
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  let kept = null;
  try { kept = localStorage.getItem("xinglin-theme"); } catch { /* storage may be off: then the system decides */ }
  const dark = kept ? kept === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.bsTheme = dark ? "dark" : "light";
})();
