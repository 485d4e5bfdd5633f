// Headings of sortable tables become buttons. Cells are ordered by data-by, a number, where they
// have it, else by their text; what has no number stays at the end.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const rows = [...body.rows];
      const numbers = rows.some((row) => "by" in row.cells[column].dataset);
      const key = (row) => {
        const cell = row.cells[column];
        return numbers ? Number(cell.dataset.by ?? "none") : cell.textContent.trim();
      };
      rows.sort((one, other) => {
        const [a, b] = [key(one), key(other)];
        if (!numbers) return sign * a.localeCompare(b, "en", { numeric: true });
        if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
        return sign * (a < b ? -1 : a > b ? 1 : 0);
      });
      body.append(...rows);
    });
  });
}
