// What a reader can do on a page, which can be read without it. All data stands in the page, so that this
// text is the same everywhere and the page's policy can name its hash.
(() => {
  "use strict";

  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const distinct = (values) => [...new Set(values)];
  const clamp = (value, most) => Math.min(most, Math.max(0, value));
  const percent = (share) => `${100 * share}%`;

  function on(target, handlers) {
    for (const [name, handler] of Object.entries(handlers)) target.addEventListener(name, handler);
  }

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  // -- light and dark

  const THEMES = ["auto", "light", "dark"];
  const root = document.documentElement;

  // A browser may refuse its memory to a page from a file: a choice then holds for that page alone.
  function memory(use) {
    try { return use(localStorage); } catch { return null; }
  }

  function offerThemes(button) {
    const show = (theme) => {
      root.dataset.theme = theme;
      button.textContent = `Colours: ${theme}`;
    };
    const next = () => {
      show(THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % THEMES.length]);
      memory((kept) => kept.setItem("theme", root.dataset.theme));
    };
    const kept = memory((items) => items.getItem("theme"));
    show(THEMES.includes(kept) ? kept : "auto");
    on(button, { click: next });
    button.hidden = false;
  }

  // -- tables, search, print

  // "12 %", "1.2 x", "p < 0.001", "1,297" and "1-2 kHz" are numbers, a dash is nothing, the rest is text.
  function valueOf(cell) {
    const text = (cell.dataset.value ?? cell.textContent).trim();
    if (/^[-–—]?$/.test(text)) return null;
    const found = text.match(/^(?:p\s*)?([<>=]?)\s*([-−+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?)/i);
    if (!found) return text;
    const number = Number(found[2].replaceAll(",", "").replace("−", "-"));
    const unit = /^[\d.–-]+ kHz/.test(text) ? 1000 : 1;
    return number * (found[1] === "<" ? 0.999 : unit);
  }

  function compare(a, b) {
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return typeof a === "number" ? a - b : a.localeCompare(b);
  }

  function sort(body, column, direction) {
    const rows = [...body.rows].map((row) => [valueOf(row.cells[column]), row]);
    const absent = rows.filter(([value]) => value === null);
    const known = rows.filter(([value]) => value !== null).sort(([a], [b]) => direction * compare(a, b));
    body.append(...[...known, ...absent].map(([, row]) => row));
  }

  function makeSortable(table) {
    const heads = all("thead tr:last-child th", table);
    for (const head of heads) {
      const click = () => {
        const falls = head.getAttribute("aria-sort") === "ascending";
        for (const each of heads) each.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", falls ? "descending" : "ascending");
        sort(table.tBodies[0], head.cellIndex, falls ? -1 : 1);
      };
      const button = element("button", { type: "button" }, ...head.childNodes);
      on(button, { click });
      head.append(button);
    }
  }

  function offerSearch(place) {
    const target = place.dataset.search;
    const found = all(/^[.#]/.test(target) ? target : `#${CSS.escape(target)}`);
    const items = found.flatMap((node) => (node.tBodies ? [...node.tBodies[0].rows] : [node]));
    const field = element("input", { type: "search", autocomplete: "off" });
    const count = element("output");
    const input = () => {
      const words = field.value.toLowerCase().split(/[\s_]+/);
      const holds = (text) => words.every((word) => text.includes(word));
      for (const item of items) item.hidden = !holds(item.textContent.toLowerCase());
      const left = items.filter((item) => !item.hidden).length;
      count.textContent = field.value ? `${left} of ${items.length} shown` : "";
    };
    on(field, { input });
    place.append(element("label", {}, `${place.dataset.label} `, field), " ", count);
  }

  function openWhenPrinted() {
    let closed = [];
    const open = (isOpen) => { for (const each of closed) each.open = isOpen; };
    const beforeprint = () => {
      closed = all("details:not([open])");
      open(true);
    };
    on(window, { beforeprint, afterprint: () => open(false) });
  }

  // -- maps: what is known

  const FADED = 0.3;
  const SIZE = 512; // of a painted map in pixels, either way
  const WIDEST = 2; // ratio, as its logarithm to base 2, at which colours end
  const AS_DRAWN = { fold: "all", layer: "mean", threshold: 0 };

  const block = document.getElementById("explorer-data");
  const page = block && JSON.parse(block.textContent);

  function decoded({ cells, low, high }) {
    const value = (byte) => (byte === 255 ? NaN : low + ((high - low) * byte) / 254);
    return Float32Array.from(atob(cells), (character) => value(character.charCodeAt(0)));
  }

  function relevance({ data, maps, view: { fold } }) {
    maps[fold] ??= data.folds[fold] ? decoded(data.folds[fold]) : new Float32Array(maps.level.length).fill(NaN);
    return maps[fold];
  }

  function nearest(values, wanted) {
    const distances = values.map((value) => Math.abs(value - wanted));
    return distances.indexOf(Math.min(...distances));
  }

  function cellAt({ data }, { hz, s }) {
    return [nearest(data.frequency, hz), s === null ? null : nearest(data.time, s)];
  }

  // -- maps: in words

  const minus = (text) => text.replace("-", "−");

  function cellTexts({ data, maps, view }, map, cell) {
    const share = 1e3 * map[cell];
    const level = maps.level[cell];
    const where = view.fold === "all" ? "" : ` in fold ${view.fold}`;
    const digits = Math.abs(share) < 1 ? 2 : 1;
    return [
      `relevance ${Number.isNaN(share) ? "none" : `${minus(share.toFixed(digits))} x 10⁻³`}${where}`,
      `level ${Number.isNaN(level) ? "none" : `${minus(level.toFixed(0))} dB`}`,
    ];
  }

  function reading(figure, at) {
    const { data } = figure;
    const [row, column] = cellAt(figure, at);
    const name = data.bin_names[row];
    const whose = figure.view.fold === "all" ? "" : " (all folds)";
    const ratios = Object.values(data.profile).map(({ text }) => text[row] && `${text[row]}${whose}`).filter(Boolean);
    if (column === null) return `${name}: ${ratios.join("; ")}`;
    const s = data.time[column];
    const where = `${s.toFixed(2)} s${s > data.recorded_until_s ? " (padding)" : ""}`;
    const values = cellTexts(figure, relevance(figure), row * data.time.length + column);
    return `${name}, ${where}: ${[...values, ...ratios].join("; ")}`;
  }

  function viewText({ data, view: { fold, layer, threshold } }) {
    const [kind, contrast] = layer.split(":");
    const said = [];
    const n = data.n_recordings[fold] ?? 0;
    if (fold !== "all") said.push(`relevance of fold ${fold} with ${n} recording${n === 1 ? "" : "s"}, all else of all folds`);
    if (kind === "contrast") said.push(`ratio to ${page.names[contrast]} (all folds), from 1/4 (blue) to 4 (red)`);
    if (kind === "certain") said.push(`bins not certain against ${page.names[contrast]} (all folds) faded`);
    if (threshold) said.push(`cells below ${threshold} % of the largest relevance faded`);
    return said.length ? `Shown: ${said.join("; ")}.` : "";
  }

  // -- maps: painted

  // The table holds 256 colours of six digits each.
  function colour(share) {
    const place = 6 * clamp(Math.floor(128 * (share + 1)), 255);
    return `#${page.colours.slice(place, place + 6)}`;
  }

  // Rows meet half way between their centres; the outermost reach the panel's edge.
  function edges(rows) {
    const between = rows.slice(1).map((centre, row) => (centre + rows[row]) / 2);
    return [1, ...between, 0].map((edge) => Math.round(edge * SIZE));
  }

  // What a row is painted with: a share of the limit for each cell, and which of its cells are faded.
  function lookOf({ data, view: { layer, threshold } }, panel, map) {
    const [kind, contrast] = layer.split(":");
    const { ratio, certain } = data.profile[contrast] ?? {};
    const least = (threshold / 100) * map.reduce((most, cell) => Math.max(most, Math.abs(cell) || 0), 0);
    const ofRatio = (_, row) => Math.log2(ratio?.[row] ?? NaN) / WIDEST;
    return {
      share: kind === "contrast" ? ofRatio : (cell) => cell / panel.limit,
      isFaded: (cell, row) => Math.abs(cell) < least || (kind === "certain" && !certain?.[row]),
    };
  }

  function paintPanel(figure, panel) {
    const { time, end_s: end, recorded_until_s: recorded } = figure.data;
    const context = panel.painted.getContext("2d");
    const map = relevance(figure);
    const look = lookOf(figure, panel, map);
    const edge = edges(panel.rows);
    const fill = (style, alpha, ...box) => {
      context.fillStyle = style;
      context.globalAlpha = alpha;
      context.fillRect(...box);
    };
    fill("#fff", 1, 0, 0, SIZE, SIZE);
    const width = SIZE / time.length;
    map.forEach((cell, place) => {
      const [row, column] = [Math.floor(place / time.length), place % time.length];
      const share = look.share(cell, row);
      if (Number.isNaN(cell + share)) return;
      const box = [column * width, edge[row + 1], width, edge[row] - edge[row + 1]];
      fill(colour(share), look.isFaded(cell, row) ? FADED : 1, ...box);
    });
    for (let x = SIZE * (recorded / end); x < SIZE; x += 10) fill("#5b6470", 1, x, 0, 2, SIZE);
  }

  // What the printed colour bar says is true of relevance alone: ratios get a scale of their own, laid over it.
  function showScale({ view: { layer } }, { scale }) {
    if (!scale) return;
    const [kind, contrast] = layer.split(":");
    scale.hidden = kind !== "contrast";
    if (!scale.hidden) scale.querySelector(".name").textContent = `ratio to ${page.names[contrast]}`;
  }

  function madeScale([left, top, width, height]) {
    const bar = element("canvas", { width: 1, height: 256 });
    const context = bar.getContext("2d");
    for (let y = 0; y < 256; y += 1) {
      context.fillStyle = colour(1 - y / 127.5);
      context.fillRect(0, y, 1, 1);
    }
    const ends = { top: 2 ** WIDEST, middle: 1, bottom: `1/${2 ** WIDEST}` };
    const labels = Object.entries(ends).map(([name, text]) => element("span", { class: name }, String(text)));
    const made = element("div", { class: "scale", hidden: "" }, bar, ...labels, element("span", { class: "name" }));
    Object.assign(made.style, Object.fromEntries(
      Object.entries({ left, top, width, height }).map(([name, share]) => [name, percent(share)]),
    ));
    return made;
  }

  function paint(figure) {
    const isAsDrawn = Object.entries(AS_DRAWN).every(([key, value]) => figure.view[key] === value);
    for (const panel of figure.panels.filter(({ layer }) => layer === "relevance")) {
      panel.painted.hidden = isAsDrawn;
      if (!isAsDrawn) paintPanel(figure, panel);
      showScale(figure, panel);
    }
    follow(figure);
  }

  // -- maps: the cursor

  const MOVES = {
    ArrowUp: [1, 0], ArrowDown: [-1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [0, -1e9], End: [0, 1e9],
  };
  let cursor = null; // { hz, s } that all figures point at; s is null in a panel without time

  function along({ data }, panel, row, column) {
    if (panel.x === "time") return column === null ? null : data.time[column] / data.end_s;
    const ratio = data.profile[panel.layer.split(":")[1]]?.ratio[row] ?? null;
    return ratio === null ? null : (Math.log2(ratio) - panel.x[0]) / (panel.x[1] - panel.x[0]);
  }

  function follow(figure) {
    figure.overlay.classList.toggle("pointing", cursor !== null);
    const said = [cursor ? reading(figure, cursor) : "", viewText(figure)];
    figure.output.textContent = said.filter(Boolean).join(". ");
    if (!cursor) return;
    const [row, column] = cellAt(figure, cursor);
    for (const panel of figure.panels) {
      const x = along(figure, panel, row, column);
      panel.across.style.top = percent(panel.rows[row]);
      panel.upright.hidden = x === null;
      panel.upright.style.left = percent(x);
    }
  }

  function point(at, active) {
    cursor = at;
    for (const figure of figures) {
      figure.output.setAttribute("aria-live", figure === active ? "polite" : "off");
      follow(figure);
    }
  }

  function pointed(figure, event) {
    const panel = figure.panels.find(({ node }) => node.contains(event.target));
    if (!panel) return null;
    const box = panel.node.getBoundingClientRect();
    const hz = figure.data.frequency[nearest(panel.rows, (event.clientY - box.top) / box.height)];
    if (panel.x !== "time") return { hz, s: cursor?.s ?? null };
    return { hz, s: ((event.clientX - box.left) / box.width) * figure.data.end_s };
  }

  function moved(figure, [up, right]) {
    const { frequency, time } = figure.data;
    const [row, column] = cellAt(figure, cursor);
    const there = (values, place) => values[clamp(place, values.length - 1)];
    return { hz: there(frequency, row + up), s: there(time, (column ?? 0) + right) };
  }

  function peak(figure) {
    const { frequency, time } = figure.data;
    const cells = relevance(figure).map((cell) => cell || 0);
    const best = cells.indexOf(Math.max(...cells));
    return { hz: frequency[Math.floor(best / time.length)], s: time[best % time.length] };
  }

  function press(figure, event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    cursor ??= peak(figure);
    if (event.key in MOVES) point(moved(figure, MOVES[event.key]), figure);
    else if (event.key === "Enter") seek(figure, cursor.s);
    else if (event.key === "Escape") figure.overlay.blur();
    else return;
    event.preventDefault();
  }

  function listenTo(figure) {
    const move = (event) => {
      const at = pointed(figure, event);
      if (at) point(at, figure);
    };
    on(figure.overlay, {
      pointerdown: move,
      pointermove: move,
      pointerleave: () => document.activeElement === figure.overlay || point(null),
      focus: () => point(cursor ?? peak(figure), figure),
      blur: () => point(null),
      keydown: (event) => press(figure, event),
      click: (event) => seek(figure, pointed(figure, event)?.s ?? null),
    });
  }

  // -- maps: laid over the pictures

  function madePanel(panel) {
    const painted = element("canvas", { width: SIZE, height: SIZE, hidden: "" });
    const across = element("div", { class: "across" });
    const upright = element("div", { class: "upright" });
    const playhead = element("div", { class: "playhead" });
    const node = element("div", { class: "panel" }, painted, across, upright, playhead);
    const [left, top, width, height] = panel.box.map(percent);
    Object.assign(node.style, { left, top, width, height });
    const scale = panel.bar && madeScale(panel.bar);
    return { ...panel, node, painted, across, upright, playhead, scale };
  }

  function explorable(node) {
    const data = page.figures[node.dataset.explorer];
    const panels = data.panels.map(madePanel);
    const name = `${page.names[data.composite]}, ${page.names[data.representation]}`;
    const label = `${name}: arrow keys move a cursor over the map`;
    const overlay = element(
      "div",
      { class: "overlay", tabindex: 0, role: "application", "aria-label": label },
      ...panels.flatMap(({ node: each, scale }) => (scale ? [each, scale] : [each])),
    );
    const output = element("output", { class: "readout" });
    const plate = node.querySelector(".plate");
    plate.append(element("div", { class: "sheet" }, ...plate.childNodes, overlay));
    plate.removeAttribute("tabindex"); // what scrolls it is now inside
    plate.after(output);
    const maps = { level: decoded(data.level) };
    const figure = { node, data, panels, overlay, output, maps, view: AS_DRAWN };
    listenTo(figure);
    return figure;
  }

  // -- maps: choosing

  function choice(name, options, choose) {
    if (options.length < 2) return [];
    const list = element("select", {}, ...options.map(([value, text]) => new Option(text, value)));
    on(list, { change: () => choose(list.value) });
    return [element("label", {}, `${name} `, list)];
  }

  function slider(choose) {
    const range = element("input", { type: "range", min: 0, max: 100, value: 0 });
    const shown = element("output", {}, "0 %");
    const input = () => {
      shown.textContent = `${range.value} %`;
      choose(Number(range.value));
    };
    on(range, { input });
    return element("label", {}, "Fade below ", range, " ", shown, " of the largest");
  }

  function layers(mine) {
    const contrasts = distinct(mine.flatMap(({ data }) => Object.keys(data.profile)));
    return [
      ["mean", "mean relevance"],
      ...contrasts.map((name) => [`contrast:${name}`, `ratio to ${page.names[name]}`]),
      ...contrasts.map((name) => [`certain:${name}`, `certain against ${page.names[name]}`]),
    ];
  }

  function offerChoices(place, mine) {
    if (!mine.some(({ data }) => data.panels.some(({ layer }) => layer === "relevance"))) return;
    const view = { ...AS_DRAWN };
    const wanted = { composite: mine[0].data.composite, representation: "" };
    const set = (target, key) => (value) => {
      target[key] = value;
      for (const figure of mine) {
        const isOther = ([name, one]) => one !== "" && figure.data[name] !== one;
        figure.node.hidden = Object.entries(wanted).some(isOther);
        figure.view = view;
        paint(figure);
      }
    };
    const kinds = (key) => distinct(mine.map(({ data }) => data[key])).map((name) => [name, page.names[name]]);
    const every = (options) => (options.length > 1 ? [["", "all"]] : []);
    const folds = distinct(["all", ...mine.flatMap(({ data }) => Object.keys(data.folds))]);
    const composites = kinds("composite");
    const kindsOfMap = kinds("representation");
    place.prepend(element(
      "fieldset",
      { class: "explore" },
      element("legend", {}, "Maps"),
      ...choice("Composite", [...composites, ...every(composites)], set(wanted, "composite")),
      ...choice("Representation", [...every(kindsOfMap), ...kindsOfMap], set(wanted, "representation")),
      ...choice("Fold", folds.map((fold) => [fold, fold]), set(view, "fold")),
      ...choice("Layer", layers(mine), set(view, "layer")),
      slider(set(view, "threshold")),
    ));
    set(view, "threshold")(0);
  }

  // -- listening

  const players = all("audio");
  const reduced = matchMedia("(prefers-reduced-motion: reduce)");
  let player = null; // that was used last

  function showPlayed(audio) {
    const s = Number(audio.dataset.start) + audio.currentTime;
    for (const { node, overlay, panels, data } of figures) {
      const isHeard = node.dataset.explorer === audio.dataset.explorer && !audio.ended;
      overlay.classList.toggle("heard", isHeard);
      if (!isHeard) continue;
      for (const { playhead, x } of panels) if (x === "time") playhead.style.left = percent(s / data.end_s);
    }
  }

  function keepShowing(audio) {
    showPlayed(audio);
    if (!audio.paused && !reduced.matches) requestAnimationFrame(() => keepShowing(audio));
  }

  // Another version of the same sound goes on where the last one stood.
  function play(audio) {
    const { group } = audio.dataset;
    const goesOn = group && player && player !== audio && player.dataset.group === group && !player.ended;
    if (goesOn) audio.currentTime = player.currentTime;
    player = audio;
    for (const other of players) if (other !== audio) other.pause();
    keepShowing(audio);
  }

  function seek(figure, s) {
    const mine = players.filter((audio) => audio.dataset.explorer === figure.node.dataset.explorer);
    if (s === null || !mine.length) return;
    player = mine.includes(player) ? player : mine[0];
    player.currentTime = Math.max(0, s - Number(player.dataset.start));
    showPlayed(player);
  }

  function listenToPlayer(audio) {
    on(audio, {
      play: () => play(audio),
      seeking: () => { player = audio; },
      timeupdate: () => player === audio && showPlayed(audio),
      ended: () => showPlayed(audio),
      volumechange: () => {
        for (const other of players) Object.assign(other, { volume: audio.volume, muted: audio.muted });
      },
    });
  }

  // -- this page

  all("button.theme").forEach(offerThemes);
  all("table.sortable").forEach(makeSortable);
  all("[data-search]").forEach(offerSearch);
  openWhenPrinted();
  players.forEach(listenToPlayer);
  const figures = all("figure[data-explorer]").map(explorable);
  for (const place of distinct(figures.map(({ node }) => node.closest(".chooser") ?? node)))
    offerChoices(place, figures.filter(({ node }) => place.contains(node)));
})();
