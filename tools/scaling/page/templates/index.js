
"use strict";
(function () {
  const rows = Array.from(document.getElementById("rows").rows);
  const texts = rows.map(row => row.textContent.toLowerCase());
  const form = document.getElementById("filter");
  const words = document.getElementById("words");
  const verdict = document.getElementById("verdict");
  const regressions = document.getElementById("regressions");
  const shown = document.getElementById("shown");

  function apply() {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    rows.forEach((row, i) => {
      const fits = wanted.every(word => texts[i].includes(word))
        && (!verdict.value || row.dataset.v === verdict.value)
        && (!regressions.checked || "r" in row.dataset);
      row.hidden = !fits;
      count += fits;
    });
    shown.value = count + " of " + rows.length;
  }

  form.addEventListener("input", apply);
  form.addEventListener("submit", event => event.preventDefault());
  form.addEventListener("keydown", event => {
    if (event.key === "Escape") { words.value = ""; verdict.value = ""; regressions.checked = false; apply(); }
  });
  apply();
})();
