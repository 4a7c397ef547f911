// The table of objects. Only the rows in view exist, so that 50,000 objects cost no more than 50.

const ROW = matchMedia("(pointer: coarse)").matches ? 44 : 28; // pixels: a finger needs more of them than a mouse
const COLUMNS = [["id", "Number"], ["class", "Class"], ["area", "Area"], ["mean", "Mean"]];

export class ObjectTable {
  constructor(element, onSelect) {
    this.element = element;
    this.onSelect = onSelect;
    this.rows = [];
    this.classes = [];
    this.selected = -1;
    this.order = { key: "area", down: true };
    this.head = document.createElement("div");
    this.head.className = "head";
    this.head.setAttribute("role", "row");
    for (const [key, text] of COLUMNS) {
      const cell = document.createElement("div");
      cell.setAttribute("role", "columnheader");
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = text;
      button.addEventListener("click", () => this.sort(key, !(this.order.key === key && this.order.down)));
      cell.append(button);
      this.head.append(cell);
    }
    this.body = document.createElement("div");
    this.body.setAttribute("role", "rowgroup");
    element.append(this.head, this.body);
    element.addEventListener("scroll", () => this.draw());
    element.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(element);
  }

  // `volume`: areas are numbers of voxels
  show(rows, classes, volume = false) {
    this.head.children[2].firstChild.textContent = volume ? "Voxels" : "Area";
    this.rows = rows;
    this.classes = classes;
    this.selected = -1;
    this.element.setAttribute("aria-rowcount", rows.length + 1);
    this.sort(this.order.key, this.order.down);
  }

  sort(key, down) {
    const chosen = this.rows[this.selected];
    this.order = { key, down };
    const sign = down ? -1 : 1;
    this.rows.sort((a, b) => sign * ((a[key] ?? 0) - (b[key] ?? 0)) || a.id - b.id);
    this.selected = chosen ? this.rows.indexOf(chosen) : -1;
    [...this.head.children].forEach((cell, index) => {
      const own = COLUMNS[index][0] === key;
      cell.setAttribute("aria-sort", own ? (down ? "descending" : "ascending") : "none");
    });
    this.draw();
  }

  get chosen() { return this.rows[this.selected]; }

  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (!step || !this.rows.length) return;
    event.preventDefault();
    event.stopPropagation();
    this.select(Math.min(this.rows.length - 1, Math.max(0, this.selected + step)));
  }

  selectId(id) {
    const index = this.rows.findIndex((row) => row.id === id);
    if (index >= 0) this.select(index, false);
  }

  select(index, fly = true) {
    this.selected = index;
    const top = index * ROW;
    const view = this.element.clientHeight - this.head.offsetHeight;
    if (top < this.element.scrollTop) this.element.scrollTop = top;
    if (top + ROW > this.element.scrollTop + view) this.element.scrollTop = top + ROW - view;
    this.draw();
    this.onSelect(this.rows[index], fly);
  }

  draw() {
    this.body.style.height = `${this.rows.length * ROW}px`;
    this.body.style.position = "relative";
    const first = Math.max(0, Math.floor(this.element.scrollTop / ROW) - 2);
    const last = Math.min(this.rows.length, first + Math.ceil(this.element.clientHeight / ROW) + 4);
    const rows = [];
    for (let index = first; index < last; index++) rows.push(this.row(index));
    this.body.replaceChildren(...rows);
  }

  row(index) {
    const value = this.rows[index];
    const row = document.createElement("div");
    row.className = "row";
    row.setAttribute("role", "row");
    row.setAttribute("aria-rowindex", index + 2);
    row.setAttribute("aria-selected", String(index === this.selected));
    [row.style.top, row.style.height] = [`${index * ROW}px`, `${ROW}px`];
    const texts = [value.id, this.classes[value.class] ?? value.class, value.area, value.mean === null ? "" : value.mean.toFixed(1)];
    for (const text of texts) {
      const cell = document.createElement("span");
      cell.setAttribute("role", "gridcell");
      cell.textContent = cell.title = text;
      row.append(cell);
    }
    row.addEventListener("click", () => this.select(index));
    return row;
  }
}
