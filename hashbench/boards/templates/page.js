"use strict";
(() => {
  const all = (selector, root) => Array.from((root || document).querySelectorAll(selector));
  const form = document.querySelector(".filters");

  const detailOf = (row) => row.nextElementSibling;

  function setOpen(row, open) {
    const button = row.querySelector(".open");
    const detail = detailOf(row);
    button.setAttribute("aria-expanded", String(open));
    detail.hidden = !open;
    if (!open) return;
    for (const image of all("img[data-copy]:not([src])", detail)) {
      image.src = document.getElementById(image.dataset.copy).src;
    }
  }

  // Numbers from high to low first, and ranks and names from low to high; what is empty stays last.
  function sortBy(head) {
    const table = head.closest("table");
    const body = table.tBodies[0];
    const column = head.cellIndex;
    const numeric = head.querySelector(".sort").dataset.kind === "number";
    const rising = numeric && column > 0 ? "descending" : "ascending";
    const other = rising === "ascending" ? "descending" : "ascending";
    const order = head.getAttribute("aria-sort") === rising ? other : rising;
    for (const one of all("th[aria-sort]", table.tHead)) one.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const pairs = all(":scope > tr.row", body).map((row) => [row, detailOf(row)]);
    pairs.sort(([one], [two]) => {
      const [a, b] = [one, two].map((row) => row.cells[column].dataset.value);
      if (a === "" || b === "") return (a === "") - (b === "");
      return sign * (numeric ? Number(a) - Number(b) : a.localeCompare(b, "en"));
    });
    for (const pair of pairs) body.append(...pair);
  }

  function filter() {
    const wanted = Object.fromEntries(all("[data-filter]", form).map((s) => [s.dataset.filter, s.value]));
    const ranked = form.querySelector("[data-ranked]").checked;
    let shown = 0;
    for (const board of all(".board")) {
      const fits = ["dataset", "method", "bits"].every((name) => !wanted[name] || board.dataset[name] === wanted[name]);
      let rows = 0;
      for (const row of all("tr.row", board)) {
        const keep = fits && (!wanted.set || row.dataset.set === wanted.set) && (!ranked || row.dataset.ranked === "yes");
        row.hidden = !keep;
        if (!keep) setOpen(row, false);
        rows += keep;
      }
      board.hidden = rows === 0;
      shown += rows;
    }
    form.querySelector("output").textContent = `${shown} row${shown === 1 ? "" : "s"}`;
    document.querySelector(".empty").hidden = shown > 0;
  }

  document.addEventListener("click", (event) => {
    const open = event.target.closest(".open");
    if (open) setOpen(open.closest("tr"), open.getAttribute("aria-expanded") !== "true");
    const sort = event.target.closest(".sort");
    if (sort) sortBy(sort.closest("th"));
    const link = event.target.closest('a[href^="#"]');
    const target = link && document.getElementById(link.getAttribute("href").slice(1));
    if (target) target.open = true;
  });

  // Arrows go from row to row, Escape closes the row that the focus is in.
  document.addEventListener("keydown", (event) => {
    const button = event.target.closest(".open");
    if (event.key === "Escape") {
      const place = event.target.closest("tr.detail, tr.row");
      const row = place && (place.matches(".detail") ? place.previousElementSibling : place);
      if (row) {
        setOpen(row, false);
        row.querySelector(".open").focus();
      }
    } else if (button && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      const buttons = all("tr.row:not([hidden]) .open");
      const next = buttons[buttons.indexOf(button) + (event.key === "ArrowDown" ? 1 : -1)];
      if (next) next.focus();
      event.preventDefault();
    }
  });

  // On narrow screens the style sheet leaves four columns.
  const narrow = matchMedia("(max-width: 800px)");
  const span = () => all("tr.detail > td").forEach((cell) => { cell.colSpan = narrow.matches ? 4 : 11; });
  narrow.addEventListener("change", span);
  span();

  form.addEventListener("change", filter);
  form.addEventListener("reset", () => setTimeout(filter));
  form.addEventListener("submit", (event) => event.preventDefault());
  filter();
})();
