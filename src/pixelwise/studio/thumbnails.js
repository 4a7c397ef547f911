// The list of images: which ones, in which order, and what is known about each.

const KEEP = {
  unlabelled: (one) => !one.labelled, findings: (one, found) => found.length > 0, marked: (one) => one.marked, result: (one) => one.results.length > 0,
};
// images without a number come last
const RANK = { worst: (one) => one.score ?? 2, unsure: (one) => -(one.uncertainty ?? -1) };

export class Thumbnails {
  // `found(id)`: what is wrong with an image, in words; `open(id)` shows it
  constructor({ list, order, empty }, found, open) {
    Object.assign(this, { list, order, empty, found, open, images: [], current: null, loading: false, unread: new Set() });
    order.addEventListener("change", () => this.show(this.images, this.current));
  }

  // Load the pictures; until then the first image has all connections of the browser.
  load() {
    this.loading = true;
    for (const picture of this.list.querySelectorAll("img[data-src]")) this.fill(picture);
  }

  fill(picture) {
    picture.src = picture.dataset.src;
    delete picture.dataset.src;
  }

  // Scroll the list, and nothing else, to an image.
  reveal(id) {
    const item = this.list.querySelector(`[data-id="${id}"]`);
    for (const box of item ? [this.list, this.list.parentElement] : []) {
      const [inner, outer] = [item.getBoundingClientRect(), box.getBoundingClientRect()];
      box.scrollTop += Math.min(0, inner.top - outer.top) + Math.max(0, inner.bottom - outer.bottom);
      box.scrollLeft += Math.min(0, inner.left - outer.left) + Math.max(0, inner.right - outer.right);
    }
  }

  mark(id, picture, unread) {
    picture.classList.toggle("unread", unread);
    if (unread === this.unread.has(id)) return;
    if (unread) this.unread.add(id);
    else this.unread.delete(id);
    this.show(this.images, this.current);
  }

  // Ask again for those that failed, once the server answers again.
  retry() {
    for (const picture of this.list.querySelectorAll("img[src]")) {
      if (picture.complete && !picture.naturalWidth) picture.src = picture.getAttribute("src");
    }
  }

  chosen() {
    const keep = KEEP[this.order.value] || (() => true);
    const rank = RANK[this.order.value];
    const images = this.images.filter((one) => keep(one, this.found(one.id)));
    return rank ? images.sort((a, b) => rank(a) - rank(b)) : images;
  }

  show(images, current) {
    Object.assign(this, { images, current });
    const known = new Map([...this.list.children].map((item) => [item.dataset.id, item]));
    const items = this.chosen().map((one) => {
      const item = known.get(one.id) || this.item(one);
      const notes = [one.split, one.labelled && "mask", one.marked && "marks", one.results.length && "result",
        Number.isFinite(one.score) && `score ${one.score.toFixed(2)}`].filter(Boolean).join(", ");
      item.querySelector("span").textContent = notes ? `${one.name} (${notes})` : one.name;
      const found = this.unread.has(one.id) ? ["cannot be read", ...this.found(one.id)] : this.found(one.id);
      item.querySelector(".findings").textContent = [...new Set(found)].join(", ");
      item.querySelector("button").setAttribute("aria-current", String(one.id === current));
      return item;
    });
    this.arrange(items);
    this.empty.hidden = images.length > 0;
  }

  // What stays where it is keeps the focus, and a click that has begun.
  arrange(items) {
    const { list } = this;
    if (items.length === list.children.length && items.every((item, index) => item === list.children[index])) return;
    const focused = list.contains(document.activeElement) ? document.activeElement : null;
    list.replaceChildren(...items);
    if (focused && list.contains(focused)) focused.focus({ preventScroll: true });
  }

  item(one) {
    const item = document.createElement("li");
    item.dataset.id = one.id;
    const button = document.createElement("button");
    button.type = "button";
    const picture = document.createElement("img");
    picture.loading = "lazy";
    picture.alt = "";
    picture.addEventListener("error", () => this.mark(one.id, picture, true));
    picture.addEventListener("load", () => this.mark(one.id, picture, false));
    picture.dataset.src = `/tiles/${one.id}/thumbnail.jpg`;
    if (this.loading) this.fill(picture);
    const findings = document.createElement("span");
    findings.className = "findings";
    button.append(picture, document.createElement("span"), findings);
    button.addEventListener("click", () => this.open(one.id));
    item.append(button);
    return item;
  }

  // The image that many places after the current one.
  next(count) {
    const images = this.chosen();
    const place = images.findIndex((one) => one.id === this.current);
    return images[(place + count + images.length) % images.length];
  }
}
