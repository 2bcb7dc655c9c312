// Confusion, and what lies under the pointer. Text is only ever set as text.
const data = JSON.parse(document.getElementById("data").textContent);
for (const image of data.images) {
  const named = (row) => Object.fromEntries(data.segmentFields.map((name, i) => [name, row[i]]));
  image.segments = image.segments.map(named);
}
const percent = (fraction) => (100 * fraction).toFixed(1) + " %";
const thousands = (number) => number.toLocaleString("en").replaceAll(",", "\u202f");

// Confusion: by pixels or by segments.
for (const button of all(".choice button")) {
  button.addEventListener("click", () => {
    for (const other of all(".choice button")) other.setAttribute("aria-pressed", other === button);
    for (const view of all(".confusion")) view.hidden = view.dataset.unit !== button.dataset.unit;
  });
}

// The maps of an image, unpacked when they are first needed.
const readMaps = async (image) => {
  const packed = Uint8Array.from(atob(image.maps), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = await new Response(stream).arrayBuffer();
  const size = image.width * image.height;
  const plane = (Kind, offset) => {
    const values = new Kind(bytes.slice(offset, offset + size * Kind.BYTES_PER_ELEMENT));
    for (let i = 0; i < size; i++) if (i % image.width) values[i] += values[i - 1];
    return values;
  };
  const [Segments, planeBytes] = [image.segmentBytes === 2 ? Uint16Array : Uint32Array, image.segmentBytes * size];
  const maps = { gt: plane(Segments, 0), pred: plane(Segments, planeBytes) };
  if (data.partAware) {
    maps.gtParts = plane(Uint8Array, 2 * planeBytes);
    maps.predParts = plane(Uint8Array, 2 * planeBytes + size);
  }
  return maps;
};
const maps = data.images.map(() => null);
const mapsOf = (number) => (maps[number] ??= readMaps(data.images[number]));
const find = (number, isGt, index) =>
  data.images[number].segments.find((s) => s.is_gt === isGt && s.index === index) ?? null;
const className = (id) => (id === null ? "void" : data.classes[id].name);
const label = (segment) =>
  className(segment.class_id) + (segment.instance !== null && data.classes[segment.class_id].isThing ? " " + segment.instance : "");

// Spotlight: what does not belong to a segment is darkened, its outline is drawn.
const DARK = 120;
const OUTLINE = [255, 214, 10, 255];
const shadeAround = (image, isIn) => {
  const { width, height } = image;
  const shade = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    if (isIn(i)) continue;
    const column = i % width;
    const touches =
      (column > 0 && isIn(i - 1)) || (column < width - 1 && isIn(i + 1)) || isIn(i - width) || isIn(i + width);
    if (touches) shade.data.set(OUTLINE, 4 * i);
    else shade.data[4 * i + 3] = DARK;
  }
  return shade;
};
const spotlight = (article, unpacked, gt, pred) => {
  const image = data.images[article.dataset.image];
  for (const figure of all("figure", article)) {
    const canvas = figure.querySelector("canvas");
    const context = canvas.getContext("2d");
    if (!gt && !pred) {
      context.clearRect(0, 0, canvas.width, canvas.height);
      continue;
    }
    canvas.width = image.width;
    canvas.height = image.height;
    const panel = figure.dataset.panel;
    const [ownGt, ownPred] = [panel !== "pred" && gt, panel !== "gt" && pred];
    const isIn = (i) => (ownGt && unpacked.gt[i] === ownGt) || (ownPred && unpacked.pred[i] === ownPred);
    context.putImageData(shadeAround(image, isIn), 0, 0);
  }
};
let lit = null;
const light = async (number, gt, pred) => {
  const key = [number, gt, pred].join();
  if (key === lit) return;
  const before = lit === null ? null : document.querySelector(`.image[data-image="${lit.split(",")[0]}"]`);
  lit = key;
  const unpacked = await mapsOf(number);
  if (lit !== key) return;
  const article = document.querySelector(`.image[data-image="${number}"]`);
  if (before && before !== article) spotlight(before, null, 0, 0);
  spotlight(article, unpacked, gt, pred);
};
const unlight = () => {
  if (lit !== null) spotlight(document.querySelector(`.image[data-image="${lit.split(",")[0]}"]`), null, 0, 0);
  lit = null;
};
const lightSegment = (number, segment) =>
  segment.is_gt
    ? light(number, segment.index, segment.match ?? 0)
    : light(number, segment.match ?? 0, segment.index);

// Tip: the two segments under the pointer.
const tip = byId("tip");
const partName = (segment, part) => {
  const names = data.classes[segment.class_id].parts;
  if (!Object.keys(names).length) return "";
  return names[part] ?? (part === 0 ? (segment.is_gt ? "no part label" : "background") : "no part");
};
const describe = (segment, part) => {
  if (!segment) return "void";
  const name = part === undefined ? "" : partName(segment, part);
  return label(segment) + (name ? " · " + name : "") + " · " + data.verdicts[segment.verdict];
};
const scores = (segment, part) => {
  const lines = [];
  if (segment?.iou == null) return lines;
  lines.push(["IoU", percent(segment.iou)]);
  if (Object.keys(segment.part_ious).length) {
    lines.push(["Part IoU", percent(segment.part_iou)]);
    if (part in segment.part_ious) lines.push(["… of " + (partName(segment, part) || "this part"), percent(segment.part_ious[part])]);
  }
  return lines;
};
const showTip = (event, lines) => {
  const list = element("dl");
  for (const [name, value] of lines) list.append(element("dt", name), element("dd", value));
  tip.replaceChildren(list);
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const x = event.clientX + 16 + box.width > innerWidth ? event.clientX - 16 - box.width : event.clientX + 16;
  const y = event.clientY + 16 + box.height > innerHeight ? event.clientY - 16 - box.height : event.clientY + 16;
  tip.style.transform = `translate(${Math.max(4, x)}px, ${Math.max(4, y)}px)`;
};
let asked = 0;
const point = async (event, article, frame) => {
  const number = Number(article.dataset.image);
  const image = data.images[number];
  const box = frame.getBoundingClientRect();
  const column = Math.floor(((event.clientX - box.left) / box.width) * image.width);
  const row = Math.floor(((event.clientY - box.top) / box.height) * image.height);
  if (column < 0 || row < 0 || column >= image.width || row >= image.height) return;
  const mine = ++asked;
  const unpacked = await mapsOf(number);
  if (mine !== asked) return;
  const i = row * image.width + column;
  const gt = find(number, true, unpacked.gt[i]);
  const pred = find(number, false, unpacked.pred[i]);
  const gtPart = unpacked.gtParts?.[i];
  const scored = frame.parentElement.dataset.panel === "pred" ? (pred && pred.match ? find(number, true, pred.match) : null) : gt;
  showTip(event, [
    ["Truth", describe(gt, gtPart)],
    ["Predicted", describe(pred, unpacked.predParts?.[i])],
    ...scores(scored, scored === gt ? gtPart : unpacked.predParts?.[i]),
  ]);
  const own = frame.parentElement.dataset.panel === "pred" ? pred ?? gt : gt ?? pred;
  if (own) lightSegment(number, own);
  else unlight();
};
const leave = () => {
  asked++;
  tip.hidden = true;
  unlight();
};
for (const article of all(".image")) {
  for (const frame of all(".frame", article)) {
    frame.addEventListener("pointermove", (event) => point(event, article, frame));
    frame.addEventListener("pointerdown", (event) => point(event, article, frame));
    frame.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && leave());
  }
}
addEventListener("keydown", (event) => event.key === "Escape" && leave());
document.addEventListener("pointerdown", (event) => event.target.closest(".frame, .worst button, details") || leave());

// The segments of an image as a table, made when it is first opened.
const cell = (text, className = "") => element("td", text, className);
const segmentRow = (number, segment) => {
  const row = element("tr");
  const head = element("th");
  head.scope = "row";
  head.dataset.value = label(segment);
  const button = element("button", label(segment), "link");
  button.type = "button";
  button.setAttribute("aria-label", "Show " + label(segment));
  head.append(button);
  const columns = [
    [segment.is_gt ? "truth" : "prediction", "", segment.is_gt ? "truth" : "prediction"],
    [data.verdicts[segment.verdict], "verdict " + segment.verdict, data.verdicts[segment.verdict]],
    [thousands(segment.area), "number", segment.area],
    [segment.iou === null ? "–" : percent(segment.iou), "number", segment.iou ?? ""],
  ];
  if (data.partAware) columns.push([segment.part_iou === null ? "–" : percent(segment.part_iou), "number", segment.part_iou ?? ""]);
  columns.push([className(segment.taken_for) + ", " + percent(segment.taken_share), "", className(segment.taken_for)]);
  row.append(head);
  for (const [text, kind, value] of columns) {
    const td = cell(text, kind);
    td.dataset.value = value;
    row.append(td);
  }
  const show = () => {
    for (const other of all("tr[aria-current]")) other.removeAttribute("aria-current");
    row.setAttribute("aria-current", "true");
    lightSegment(number, segment);
  };
  button.addEventListener("focus", show);
  button.addEventListener("click", show);
  row.addEventListener("pointerenter", show);
  return row;
};
const segmentTable = (number) => {
  const table = element("table", "", "sortable");
  const header = table.createTHead().insertRow();
  const names = [["Segment", "text"], ["Map", "text"], ["Outcome", "text"], ["Pixels", "number"], ["IoU", "number"]];
  if (data.partAware) names.push(["Part IoU", "number"]);
  names.push(["Mostly covered by", "text"]);
  for (const [name, kind] of names) {
    const th = element("th", "", kind);
    th.scope = "col";
    const button = element("button", name);
    button.type = "button";
    button.append(element("span", "", "arrow"));
    button.addEventListener("click", () => sortBy(table, th));
    th.append(button);
    header.append(th);
  }
  table.createTBody().append(...data.images[number].segments.map((s) => segmentRow(number, s)));
  return table;
};
for (const article of all(".image")) {
  article.querySelector("details").addEventListener("toggle", (event) => {
    const box = event.target.querySelector(".scroll");
    if (event.target.open && !box.firstChild) box.append(segmentTable(Number(article.dataset.image)));
  });
}
