// The playground: what is drawn, and what happens on input. See detector.js for the detectors,
// tools/playground.py for the data.
(function () {
  "use strict";

  const root = document.getElementById("pg");
  const data = window.BADSAD_DATA;
  if (!root || !data) return;

  const { load, floats, bytes } = window.BadsadDetector;
  const [HEIGHT, WIDTH] = data.size;
  const NAMES = Object.keys(data.detectors);
  const byId = (id) => document.getElementById(id);

  // --- the detectors and their scores ------------------------------------------------------------

  const detectors = Object.fromEntries(
    NAMES.map((name) => {
      const about = data.detectors[name];
      const scores = Object.fromEntries(
        Object.entries(about.scores).map(([group, text]) => [group, floats(text)]),
      );
      return [name, { ...load(about), scores }];
    }),
  );

  // As numpy's quantile: linear between the two values next to it.
  function quantile(values, q) {
    const at = q * (values.length - 1);
    const low = Math.floor(at);
    const high = Math.min(low + 1, values.length - 1);
    return values[low] + (values[high] - values[low]) * (at - low);
  }

  const share = (values, holds) => values.filter(holds).length / values.length;

  function rates({ scores }, threshold) {
    const flagged = Array.from(scores.anomaly, (s, i) => i).filter(
      (i) => scores.anomaly[i] > threshold,
    );
    return {
      falseAlarms: share(scores.normal, (s) => s > threshold),
      detected: flagged.length / scores.anomaly.length,
      asr: flagged.length ? share(flagged, (i) => scores.triggered[i] <= threshold) : NaN,
    };
  }

  // --- triggers, as in badsad_lib/triggers.py ------------------------------------------------------

  const gallery = data.gallery.map((image) => ({
    ...image,
    pixels: bytes(image.pixels),
    scores: {},
  }));
  const noise = floats(data.noise);
  const trained = { kind: "patch", strength: 100 * data.trigger.value, ...data.trigger };

  // Each kind: what the strength (0 to 100) means, and what becomes of a pixel.
  const KINDS = {
    none: { label: "Strength", text: () => "–", pixel: (level) => level },
    patch: {
      label: "Gray level",
      text: (s) => `${Math.round((255 * s) / 100)} of 255`,
      pixel: (level, s, row, column) => {
        const inside =
          row >= state.row &&
          row < state.row + state.size &&
          column >= state.column &&
          column < state.column + state.size;
        return inside ? (255 * s) / 100 : level;
      },
    },
    noise: {
      label: "Share of noise",
      text: (s) => (s / 200).toFixed(2),
      pixel: (level, s, row, column) =>
        level + (s / 200) * (255 * noise[row * WIDTH + column] - level),
    },
    wave: {
      label: "Amplitude",
      text: (s) => `${Math.round(0.8 * s)} of 255`,
      pixel: (level, s, row, column) =>
        level + Math.round(0.8 * s) * Math.sin((2 * Math.PI * 6 * column) / WIDTH),
    },
  };
  // Where the strength begins: white, a share of 0.2, an amplitude of 20 of 255.
  const USUAL = { none: 0, patch: 100, noise: 40, wave: 25 };

  function changed(pixels) {
    const { pixel } = KINDS[state.kind];
    return Uint8ClampedArray.from(pixels, (level, i) =>
      pixel(level, state.strength, Math.floor(i / WIDTH), i % WIDTH),
    );
  }

  // --- state ---------------------------------------------------------------------------------------

  const start = () => ({ ...trained, kind: "none", strength: 0, quantile: data.quantile });
  const state = { ...start(), image: gallery.findIndex((image) => image.anomaly) };
  const best = {};
  let challenge = false;
  const isTrained = () =>
    ["kind", "strength", "size", "row", "column"].every((key) => state[key] === trained[key]);

  // --- drawing -------------------------------------------------------------------------------------

  function paint(canvas, pixels) {
    const context = canvas.getContext("2d");
    const small = document.createElement("canvas");
    small.width = WIDTH;
    small.height = HEIGHT;
    const image = new ImageData(WIDTH, HEIGHT);
    pixels.forEach((level, i) => image.data.set([level, level, level, 255], 4 * i));
    small.getContext("2d").putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, canvas.width, canvas.height);
  }

  const SVG = "http://www.w3.org/2000/svg";
  function svg(name, attributes, parent) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (parent) parent.append(element);
    return element;
  }

  // One axis for both detectors, so that the two scales can be compared.
  const all = NAMES.flatMap((name) =>
    ["normal", "anomaly", "triggered"].flatMap((group) => Array.from(detectors[name].scores[group])),
  );
  const LOW = Math.log10(Math.min(...all)) - 0.1;
  const HIGH = Math.log10(Math.max(...all)) + 0.1;
  const SCALE = { width: 400, height: 130, middle: 58, hill: 44 };
  const place = (score) => {
    const x = (Math.log10(Math.max(score, 1e-12)) - LOW) / (HIGH - LOW);
    return SCALE.width * Math.min(Math.max(x, 0.01), 0.99);
  };

  // The outline of a histogram over the axis, as a path above (up = 1) or below (-1) the line.
  function hill(values, up) {
    const bins = 60;
    const counts = new Array(bins).fill(0);
    values.forEach((score) => counts[Math.min(bins - 1, Math.floor((place(score) / SCALE.width) * bins))]++);
    const tallest = Math.max(...counts);
    const step = SCALE.width / bins;
    const points = counts.flatMap((count, i) => {
      const y = SCALE.middle - up * SCALE.hill * (count / tallest);
      return [`${i * step},${y}`, `${(i + 1) * step},${y}`];
    });
    return `M0,${SCALE.middle}L${points.join("L")}L${SCALE.width},${SCALE.middle}Z`;
  }

  function makeScale(name) {
    const { width, height, middle } = SCALE;
    const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
    svg("path", { d: hill(detectors[name].scores.normal, 1), class: "pg-normal" }, picture);
    svg("path", { d: hill(detectors[name].scores.anomaly, -1), class: "pg-anomaly" }, picture);
    svg("line", { x1: 0, x2: width, y1: middle, y2: middle, class: "pg-axis" }, picture);
    for (let power = Math.ceil(LOW); power <= HIGH; power++) {
      const x = place(10 ** power);
      svg("line", { x1: x, x2: x, y1: 106, y2: 111, class: "pg-axis" }, picture);
      const label = svg("text", { x, y: 125, class: "pg-tick" }, picture);
      label.textContent = String(Number((10 ** power).toPrecision(1)));
    }
    const parts = {
      threshold: svg("line", { y1: 4, y2: 106, class: "pg-threshold" }, picture),
      before: svg("circle", { cy: middle, r: 7, class: "pg-before" }, picture),
      now: svg("circle", { cy: middle, r: 7, class: "pg-now" }, picture),
    };
    root.querySelector(`[data-detector=${name}] .pg-scale`).append(picture);
    return { picture, ...parts };
  }

  const show = (score) => score.toPrecision(3);
  const percent = (value) => (Number.isNaN(value) ? "–" : `${(100 * value).toFixed(1)} %`);

  function verdict(name, image, score, threshold) {
    const box = root.querySelector(`[data-detector=${name}]`);
    const alarm = score > threshold;
    const right = alarm === image.anomaly;
    box.dataset.decision = alarm ? "alarm" : "passes";
    box.dataset.score = score;
    box.dataset.right = right;
    const why = alarm ? "above" : "not above";
    const so = right
      ? ""
      : image.anomaly
        ? ` But it is no ${data.normal_class}: an anomaly gets through.`
        : " A false alarm.";
    const strong = document.createElement("strong");
    strong.textContent = alarm ? "Alarm." : "Passes.";
    const rest = ` Score ${show(score)}, ${why} the threshold ${show(threshold)}.${so}`;
    box.querySelector(".pg-verdict").replaceChildren(strong, rest);
    return `${box.querySelector("h3").textContent}: ${alarm ? "alarm" : "passes"}.`;
  }

  const scales = Object.fromEntries(NAMES.map((name) => [name, makeScale(name)]));

  // --- challenge -----------------------------------------------------------------------------------

  function measureChange(before, after) {
    let sum = 0;
    before.forEach((level, i) => (sum += Math.abs(after[i] - level)));
    return sum / 255;
  }

  function judgeChallenge(image, change, before, now, thresholds) {
    byId("pg-change").textContent = `${change.toFixed(2)} white pixels`;
    for (const name of NAMES) {
      const flagged = before[name] > thresholds[name];
      if (challenge && image.anomaly && flagged && now[name] <= thresholds[name]) {
        if (!best[name] || change < best[name].change) best[name] = { change, on: image.name };
      }
      root.querySelector(`[data-best=${name}]`).textContent = best[name]
        ? `${best[name].change.toFixed(2)} white pixels, on: ${best[name].on}`
        : "none found yet";
    }
  }

  // --- everything anew -----------------------------------------------------------------------------

  let speak;
  function update() {
    const image = gallery[state.image];
    const pixels = changed(image.pixels);
    paint(byId("pg-image"), pixels);

    const thresholds = {};
    const before = {};
    const now = {};
    const said = NAMES.map((name) => {
      const detector = detectors[name];
      thresholds[name] = quantile(detector.scores.held_out, state.quantile);
      // An image as it was keeps its score, however often the square is moved on it.
      image.scores[name] ??= detector.score(image.pixels, WIDTH);
      before[name] = image.scores[name];
      now[name] = state.kind === "none" ? before[name] : detector.score(pixels, WIDTH);
      const { picture, threshold, before: ring, now: dot } = scales[name];
      for (const end of ["x1", "x2"]) threshold.setAttribute(end, place(thresholds[name]));
      ring.setAttribute("cx", place(before[name]));
      dot.setAttribute("cx", place(now[name]));
      const sentence = verdict(name, image, now[name], thresholds[name]);
      picture.setAttribute(
        "aria-label",
        `Score ${show(now[name])}, without change ${show(before[name])}, threshold ${show(thresholds[name])}`,
      );
      const { falseAlarms, detected, asr } = rates(detector, thresholds[name]);
      const cells = root.querySelectorAll(`[data-rates=${name}] td`);
      [falseAlarms, detected, asr].forEach((value, i) => (cells[i].textContent = percent(value)));
      return sentence;
    });

    const patch = state.kind === "patch";
    byId("pg-what").textContent =
      state.kind === "none"
        ? `${image.name}, as it is.`
        : isTrained()
          ? "This is the trained trigger."
          : "A control: no detector here was trained on this.";
    root.querySelectorAll("[data-patch]").forEach((element) => (element.hidden = !patch));
    const { label, text } = KINDS[state.kind];
    byId("pg-strength-label").textContent = label;
    byId("pg-strength-out").textContent = text(state.strength);
    byId("pg-strength").disabled = state.kind === "none";
    byId("pg-size-out").textContent = `${state.size} x ${state.size}`;
    byId("pg-row-out").textContent = state.row;
    byId("pg-column-out").textContent = state.column;
    byId("pg-quantile-out").textContent = percent(state.quantile);
    byId("pg-kind").value = state.kind;
    for (const key of ["strength", "size", "row", "column"]) byId(`pg-${key}`).value = state[key];
    byId("pg-quantile").value = 100 * state.quantile;
    judgeChallenge(image, measureChange(image.pixels, pixels), before, now, thresholds);

    // Only the last of many quick changes is read out.
    clearTimeout(speak);
    speak = setTimeout(() => (byId("pg-live").textContent = said.join(" ")), 400);
  }

  // --- input ---------------------------------------------------------------------------------------

  const within = (value, least, most) => Math.min(Math.max(value, least), most);

  function set(values) {
    Object.assign(state, values);
    state.size = within(state.size, 1, 12);
    state.row = within(state.row, 0, HEIGHT - state.size);
    state.column = within(state.column, 0, WIDTH - state.size);
    update();
  }

  // Moving the square puts one there if there is none.
  function move(row, column) {
    const kind = state.kind === "patch" ? {} : { kind: "patch", strength: USUAL.patch };
    set({ ...kind, row, column });
  }

  gallery.forEach((image, i) => {
    const label = document.createElement("label");
    const input = document.createElement("input");
    Object.assign(input, { type: "radio", name: "pg-gallery", value: i, checked: i === state.image });
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width: 2 * WIDTH, height: 2 * HEIGHT });
    paint(canvas, image.pixels);
    const name = document.createElement("span");
    name.textContent = image.name;
    label.append(input, canvas, name);
    input.addEventListener("change", () => set({ image: i }));
    root.querySelector(`[data-gallery=${image.anomaly ? "anomaly" : "normal"}]`).append(label);
  });
  byId("pg-legend-normal").textContent = `Normal: ${data.normal_class}`;

  byId("pg-kind").addEventListener("change", (event) => {
    const kind = event.target.value;
    set({ kind, strength: USUAL[kind] });
  });
  for (const key of ["strength", "size", "row", "column"]) {
    byId(`pg-${key}`).addEventListener("input", (event) => set({ [key]: Number(event.target.value) }));
  }
  byId("pg-quantile").addEventListener("input", (event) =>
    set({ quantile: Number(event.target.value) / 100 }),
  );
  byId("pg-trained").addEventListener("click", () => set(trained));
  byId("pg-reset").addEventListener("click", () => {
    NAMES.forEach((name) => delete best[name]);
    set(start());
  });
  byId("pg-challenge").addEventListener("click", (event) => {
    challenge = !challenge;
    event.target.setAttribute("aria-pressed", challenge);
    event.target.textContent = challenge ? "Stop the challenge" : "Start the challenge";
    root.querySelector(".pg-best").hidden = !challenge;
    update();
  });

  const picture = byId("pg-image");
  const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  picture.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    move(state.row + step[0], state.column + step[1]);
  });
  function point(event) {
    const box = picture.getBoundingClientRect();
    const middle = (state.size - 1) / 2;
    const row = Math.floor(((event.clientY - box.top) / box.height) * HEIGHT - middle);
    const column = Math.floor(((event.clientX - box.left) / box.width) * WIDTH - middle);
    move(row, column);
  }
  picture.addEventListener("pointerdown", (event) => {
    picture.setPointerCapture(event.pointerId);
    point(event);
  });
  picture.addEventListener("pointermove", (event) => {
    if (picture.hasPointerCapture(event.pointerId)) point(event);
  });

  // For the tests: the same functions that the page runs on.
  window.BadsadPlayground = { detectors, gallery, set, changed, rates, quantile };
  root.hidden = false;
  update();
})();
