// Maps of cells: an entry of a legend hides its cells and shows them again; a cell under the pointer
// says its name. Without this script the maps stand as they are.
for (const map of document.querySelectorAll(".cell-map")) {
  const names = JSON.parse(map.closest("[data-cells]").dataset.cells);
  const cells = JSON.parse(map.dataset.order);
  const drawing = map.querySelector("svg");
  const paths = [...drawing.querySelectorAll("path.point")];
  const entries = [...map.querySelectorAll(".legend li")];
  const places = paths.map((path) =>
    [...path.getAttribute("d").matchAll(/M(-?[\d.]+) (-?[\d.]+)/g)].map((at) => [+at[1], +at[2]]),
  );
  entries.forEach((entry, group) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", "true");
    button.append(...entry.childNodes);
    entry.append(button);
    button.addEventListener("click", () => {
      const shown = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(shown));
      paths[group].style.display = shown ? "" : "none";
    });
  });
  const said = document.createElement("output");
  map.append(said);
  drawing.addEventListener("pointermove", (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(
      drawing.getScreenCTM().inverse(),
    );
    let [nearest, found] = [36, ""];
    places.forEach((points, group) => {
      if (paths[group].style.display === "none") return;
      points.forEach(([x, y], cell) => {
        const away = (x - at.x) ** 2 + (y - at.y) ** 2;
        if (away >= nearest) return;
        const kind = entries[group].querySelector("span").textContent;
        [nearest, found] = [away, `${names[cells[group][cell]]}: ${kind}`];
      });
    });
    said.textContent = found;
  });
}
