// The gallery: worst segments, images, and what of both is shown.
// Worst segments: a look at each, cut out of its image when there is time. Not only when it comes
// into view: it may be printed.
const boxOf = (unpacked, image, gt, pred) => {
  let [left, top, right, bottom] = [image.width, image.height, 0, 0];
  for (let i = 0; i < unpacked.gt.length; i++) {
    if ((gt && unpacked.gt[i] === gt) || (pred && unpacked.pred[i] === pred)) {
      const [x, y] = [i % image.width, Math.floor(i / image.width)];
      [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x + 1), Math.max(bottom, y + 1)];
    }
  }
  return [left, top, right, bottom];
};
const drawCutting = async (button) => {
  const number = Number(button.dataset.image);
  const image = data.images[number];
  const segment = find(number, button.dataset.gt === "true", Number(button.dataset.segment));
  const unpacked = await mapsOf(number);
  const [gt, pred] = segment.is_gt ? [segment.index, segment.match] : [segment.match, segment.index];
  const [left, top, right, bottom] = boxOf(unpacked, image, gt, pred);
  const canvas = button.querySelector("canvas");
  const ratio = canvas.width / canvas.height;
  const wanted = 1.3 * Math.max(right - left, (bottom - top) * ratio, 48);
  const width = Math.min(image.width, image.height * ratio, wanted);
  const height = width / ratio;
  const x = Math.max(0, Math.min((left + right - width) / 2, image.width - width));
  const y = Math.max(0, Math.min((top + bottom - height) / 2, image.height - height));
  const source = articleOf(number).querySelector("img");
  const picture = new Image();
  picture.src = source.src;
  await picture.decode();
  const shade = new OffscreenCanvas(image.width, image.height);
  const own = segment.is_gt ? unpacked.gt : unpacked.pred;
  shade.getContext("2d").putImageData(shadeAround(image, (i) => own[i] === segment.index), 0, 0);
  const context = canvas.getContext("2d");
  for (const layer of [picture, shade]) {
    context.drawImage(layer, x, y, width, height, 0, 0, canvas.width, canvas.height);
  }
};
const whenIdle = (task) => (window.requestIdleCallback ? requestIdleCallback(task) : setTimeout(task));
const articleOf = (number) => document.querySelector(`.image[data-image="${number}"]`);
const headlineIoU = (segment) => (data.partAware ? segment.part_iou : segment.iou) ?? segment.iou;
const badness = (segment) => (segment.verdict === "tp" ? -headlineIoU(segment) : segment.area);
const card = ({ number, segment }) => {
  const item = element("li");
  const button = element("button");
  button.type = "button";
  button.dataset.image = number;
  button.dataset.gt = segment.is_gt;
  button.dataset.segment = segment.index;
  const canvas = element("canvas");
  [canvas.width, canvas.height] = [240, 150];
  canvas.setAttribute("aria-hidden", "true");
  const isMatch = segment.verdict === "tp";
  const outcome = isMatch ? percent(headlineIoU(segment)) : data.verdicts[segment.verdict];
  button.append(canvas, element("span", label(segment), "name"), element("span", outcome, "verdict " + segment.verdict));
  const truly = segment.is_gt ? "predicted" : "is truly";
  const notes = isMatch ? [] : [`${percent(segment.taken_share)} ${truly} ${className(segment.taken_for)}`];
  notes.push(thousands(segment.area) + " px", articleOf(number).getAttribute("aria-label"));
  button.append(...notes.map((note) => element("span", note, "muted note")));
  button.addEventListener("click", () => {
    images.reveal(articleOf(number));
    articleOf(number).scrollIntoView();
    articleOf(number).querySelector("summary").focus({ preventScroll: true });
    lightSegment(number, segment);
  });
  item.append(button);
  whenIdle(() => button.isConnected && drawCutting(button));
  return item;
};

// Pages: a long list, some of it at a time.
const pages = (nav, size, show, onTurn = () => {}) => {
  let [entries, first] = [[], 0];
  const [before, place, after] = nav.children;
  const turnTo = (index) => {
    first = Math.max(0, size * Math.floor(Math.min(index, entries.length - 1) / size));
    const last = Math.min(first + size, entries.length);
    show(entries.slice(first, last));
    nav.hidden = entries.length <= size;
    place.textContent = `${first + 1}–${last} of ${entries.length}`;
    before.setAttribute("aria-disabled", first === 0);
    after.setAttribute("aria-disabled", last === entries.length);
  };
  before.addEventListener("click", () => (turnTo(first - size), onTurn()));
  after.addEventListener("click", () => (first + size < entries.length && turnTo(first + size), onTurn()));
  return {
    fill: (others) => ((entries = others), turnTo(0)),
    reveal: (entry) => turnTo(entries.indexOf(entry)),
  };
};
const CARDS = 12;
const IMAGES = 6;
const segments = data.images.flatMap((image, number) =>
  image.segments
    .filter((s) => data.shownVerdicts.includes(s.verdict) && (s.is_gt || s.verdict === "fp"))
    .map((segment) => ({ number, segment })));
segments.sort((a, b) => badness(b.segment) - badness(a.segment));
const groups = all(".group").map((group) => {
  const list = group.querySelector(".worst");
  const show = (entries) => list.replaceChildren(...entries.map(card));
  return [group, pages(group.querySelector(".pages"), CARDS, show)];
});
const showImages = (shown) => {
  for (const article of all(".image")) article.hidden = !shown.includes(article);
};
const images = data.images.length
  ? pages(document.querySelector("#images > .pages"), IMAGES, showImages, () => byId("images").scrollIntoView())
  : null;

// Filter: by class and by what became of a segment; an image stays if it has one such segment.
const total = (wantedClass, verdicts) => {
  const classes = wantedClass ? [data.classes[wantedClass]] : Object.values(data.classes);
  return classes.reduce((sum, { totals }) => sum + verdicts.reduce((n, verdict) => n + totals[verdict], 0), 0);
};
const filter = () => {
  const [wantedClass, wanted] = [byId("class-filter").value, byId("verdict-filter").value];
  const verdicts = wanted ? [wanted] : data.shownVerdicts;
  const isOfClass = (segment) => !wantedClass || String(segment.class_id) === wantedClass;
  let numSegments = 0;
  for (const [group, list] of groups) {
    const { verdict } = group.dataset;
    const fitting = segments.filter(({ segment }) => segment.verdict === verdict && isOfClass(segment));
    const count = total(wantedClass, [verdict]);
    group.hidden = !verdicts.includes(verdict) || !count;
    group.querySelector(".total").textContent = `${thousands(fitting.length)} shown of ${thousands(count)}`;
    if (group.hidden) continue;
    list.fill(fitting);
    numSegments += fitting.length;
  }
  const fits = (segment) => isOfClass(segment) && (!wanted || segment.verdict === wanted);
  const has = (article) => data.images[article.dataset.image].segments.some(fits);
  const fitting = all(".image").filter((article) => !(wantedClass || wanted) || has(article));
  images.fill(fitting);
  all(".none")[0].hidden = groups.some(([group]) => !group.hidden);
  all(".none")[1].hidden = fitting.length > 0;
  byId("shown").textContent =
    `${thousands(numSegments)} of ${thousands(total(wantedClass, verdicts))} segments, ${fitting.length} of ${data.images.length} images`;
};
if (images) {
  byId("class-filter").addEventListener("change", filter);
  byId("verdict-filter").addEventListener("change", filter);
  for (const button of all("#class-table .link")) {
    button.addEventListener("click", () => {
      byId("class-filter").value = button.dataset.class;
      filter();
      document.querySelector(".filter").scrollIntoView();
      byId("class-filter").focus({ preventScroll: true });
    });
  }
  filter();
}
