// The pages' few gestures: colour scheme, menu on a phone, copying a hash, times in the reader's own zone.
// Everything here is a comfort; without script every page still reads.
const root = document.documentElement;

const shapes = {
  datetime: { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" },
  short: { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" },
  date: { year: "numeric", month: "short", day: "numeric" },
  time: { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" },
};

function localise(within) {
  const language = root.lang === "en" ? "en-GB" : "zh-CN";
  for (const time of within.querySelectorAll("time[data-local]")) {
    const shape = new Intl.DateTimeFormat(language, shapes[time.dataset.local]);
    const parts = shape.format(new Date(time.dateTime));
    // Chinese reads easier with a thin gap between figures and characters, as the server writes it.
    time.textContent = root.lang === "en" ? parts : parts.replace(/(\d)([年月日])/g, "$1 $2").replace(/([年月日])(\d)/g, "$1 $2");
    time.title = time.dateTime;
    delete time.dataset.local;
  }
}

document.addEventListener("click", (click) => {
  const target = click.target.closest("[data-theme-toggle], [data-toggle], [data-copy]");
  if (!target) return;
  if ("themeToggle" in target.dataset) {
    root.dataset.bsTheme = root.dataset.bsTheme === "dark" ? "light" : "dark";
    try { localStorage.setItem("xinglin-theme", root.dataset.bsTheme); } catch { /* not kept, then */ }
  } else if (target.dataset.toggle) {
    const open = document.getElementById(target.dataset.toggle).classList.toggle("show");
    target.setAttribute("aria-expanded", String(open));
  } else {
    navigator.clipboard?.writeText(target.dataset.copy).then(() => {
      target.classList.add("is-done");
      setTimeout(() => target.classList.remove("is-done"), 1200);
    });
  }
});

localise(document);
document.addEventListener("htmx:afterSettle", () => localise(document));
