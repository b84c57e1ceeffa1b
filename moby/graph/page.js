const graph = JSON.parse(document.getElementById("graph").textContent);
const nodes = new Map(graph.nodes.map(node => [node.key, node]));
const picture = document.querySelector("svg.moby");
const panel = document.getElementById("panel");
function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}
function section(title, content) {
  panel.append(element("h3", title));
  panel.append(content.length ? content[0] : element("p", "none", "soft"), ...content.slice(1));
}
function link(key, note) {
  const line = element("p");
  const button = element("button", key);
  button.addEventListener("click", () => choose(key));
  line.append(button);
  if (note) line.append(element("span", " " + note, "soft"));
  return line;
}
function bytes(count) {
  for (const unit of ["B", "kB", "MB"]) { if (count < 1000) return Number(count.toPrecision(3)) + " " + unit; count /= 1000; }
  return Number(count.toPrecision(3)) + " GB";
}
function options(node) {
  if (!node.options.length) return [];
  const table = element("table");
  for (const option of node.options) {
    const row = element("tr");
    row.append(element("th", option.name));
    const cell = element("td");
    cell.append(element("code", JSON.stringify(option.value ?? option.default)));
    if (option.open) cell.append(element("span", " may be set when the engine starts", "soft"));
    if (option.help) cell.append(element("div", option.help, "soft"));
    row.append(cell);
    table.append(row);
  }
  return [table];
}
function choose(key) {
  const node = nodes.get(key);
  if (!node) return;
  panel.replaceChildren(element("h2", node.key), element("p", node.summary),
    element("p", node.component + " " + node.version + ", from " + (node.distribution || "this tree"), "soft"),
    element("p", node.why, "soft"));
  section("Options", options(node));
  section("Needs", Object.entries(node.needs).flatMap(([name, targets]) => targets.map(each => link(each, "as " + name))));
  section("Needed by", node.users.map(each => link(each)));
  section("Bytes", node.bytes === null ? [] : [element("p", bytes(node.bytes) + " (" + node.bytes.toLocaleString("en") + ")")]);
  section("Offers", node.provides.length ? [element("p", node.provides.join(", "))] : []);
  section("Needs of the host", node.host.map(each => element("p", each)));
  const near = new Set([...node.users, ...Object.values(node.needs).flat()]);
  picture.classList.add("focused");
  for (const box of picture.querySelectorAll(".box")) {
    box.classList.toggle("chosen", box.dataset.key === key);
    box.classList.toggle("near", near.has(box.dataset.key));
  }
  for (const arrow of picture.querySelectorAll(".arrow"))
    arrow.classList.toggle("near", arrow.dataset.from === key || arrow.dataset.to === key);
  history.replaceState(null, "", "#" + encodeURIComponent(key));
}
for (const box of picture.querySelectorAll(".box")) {
  box.addEventListener("click", () => choose(box.dataset.key));
  box.addEventListener("keydown", event => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(box.dataset.key); }
  });
}
choose(decodeURIComponent(location.hash.slice(1)));
