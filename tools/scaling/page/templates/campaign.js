"use strict";
(function () {
  const map = document.getElementById("map");
  const one = document.getElementById("one");
  const other = document.getElementById("other");
  const told = document.getElementById("told");
  const row = document.getElementById("row");
  const column = document.getElementById("column");
  const names = Array.from(one.options, option => option.text);
  const counts = map.dataset.pairs.split(" ").map(Number);
  const size = names.length, cell = Number(map.dataset.cell), edge = Number(map.dataset.edge);

  function count(i, j) {
    const a = Math.min(i, j), b = Math.max(i, j);
    return counts[a * size - a * (a - 1) / 2 + b - a];
  }

  function cases(number) {
    return number.toLocaleString("en") + (number === 1 ? " case" : " cases");
  }

  function show() {
    const i = one.selectedIndex, j = other.selectedIndex;
    told.value = i === j ? names[i] + ": " + cases(count(i, i))
      : names[i] + " with " + names[j] + ": " + cases(count(i, j))
        + " (" + names[i] + " " + cases(count(i, i)) + ", " + names[j] + " " + cases(count(j, j)) + ")";
    row.setAttribute("y", edge + i * cell);
    column.setAttribute("x", edge + j * cell);
    row.removeAttribute("hidden");
    column.removeAttribute("hidden");
  }

  function place(event) {
    const at = map.createSVGPoint();
    at.x = event.clientX; at.y = event.clientY;
    const to = at.matrixTransform(map.getScreenCTM().inverse());
    const i = Math.floor((to.y - edge) / cell), j = Math.floor((to.x - edge) / cell);
    if (i >= 0 && j >= 0 && i < size && j < size) {
      one.selectedIndex = i; other.selectedIndex = j;
      show();
    }
  }

  map.addEventListener("pointermove", event => { if (event.pointerType === "mouse" && !event.buttons) place(event); });
  map.addEventListener("click", place);
  one.addEventListener("input", show);
  other.addEventListener("input", show);
  document.getElementById("pair").addEventListener("submit", event => event.preventDefault());
})();
