// The playground: its state, which stands in the address, and what happens on input. See
// detector.js for the detectors, pictures.js for what is drawn, tools/playground.py for the data.
(function () {
  "use strict";

  const root = document.getElementById("pg");
  if (!root) return;
  const byId = (id) => document.getElementById(id);

  function fail(what) {
    byId("pg-status").textContent =
      `${what} could not be loaded, so the detectors cannot run here. Load the page again; from a ` +
      "disk, check that the folder _static came along.";
    root.dataset.state = "failed";
  }

  const { gallery: data } = window.BADSAD_DATA ?? {};
  if (!data || !window.BadsadDetector || !window.BadsadPictures) {
    fail("What this page runs on");
    return;
  }

  const { load, floats, bytes, suspicion } = window.BadsadDetector;
  const { paint, makeScale, makeLatents, drawDoors } = window.BadsadPictures;
  const [HEIGHT, WIDTH] = data.size;
  const SIDE = WIDTH - data.trigger.size + 1; // places of the square, in each direction
  const PLACES = SIDE * SIDE;
  const SLOTS = ["clean", "backdoored"];
  const USUAL_STEP = data.quantiles.indexOf(0.95);

  // --- the detectors -------------------------------------------------------------------------------

  const detectors = Object.fromEntries(
    Object.entries(data.detectors).map(([name, about]) => {
      const dots = Object.fromEntries(Object.entries(about.dots).map(([g, text]) => [g, floats(text)]));
      const unpacked = { doors: bytes(about.doors), dots, axes: floats(about.axes) };
      for (const kind of ["plain", "triggered"]) {
        const { angles, scores } = about[kind];
        unpacked[kind] = { angles: floats(angles), scores: floats(scores) };
      }
      return [name, { ...about, ...unpacked }];
    }),
  );
  const gallery = data.gallery.map((image) => ({ ...image, pixels: bytes(image.pixels) }));
  const here = document.currentScript.src.replace(/playground\.js.*/, "");

  // Weights come one detector at a time, since they are large; each once.
  const waiting = {};
  function fetchWeights(name) {
    waiting[name] ??= new Promise((resolve) => {
      const script = document.createElement("script");
      script.src = `${here}${name}.js`;
      script.onload = () => {
        Object.assign(detectors[name], load(window.BADSAD_DATA[name]));
        delete window.BADSAD_DATA[name];
        resolve();
        update();
      };
      script.onerror = () => fail(`The ${name} detector`);
      document.head.append(script);
    });
    return waiting[name];
  }

  // In which direction of the map a place lies, seen from the center.
  function angle({ axes }, away) {
    const along = (from) => away.reduce((sum, value, k) => sum + axes[from + k] * value, 0);
    return Math.atan2(along(away.length), along(0));
  }

  // --- triggers, as in badsad_lib/triggers.py ------------------------------------------------------

  const noise = floats(data.noise);
  const { value, ...place } = data.trigger;
  const trained = { kind: "patch", strength: 100 * value, ...place };

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

  // --- state, as it stands in the address ----------------------------------------------------------

  // In a classroom the square begins in the middle, where it opens nothing.
  const middle = (HEIGHT - trained.size) >> 1;
  const start = (classroom) => ({
    ...trained,
    ...(classroom ? { row: middle, column: middle } : { kind: "none", strength: 0 }),
    image: data.first,
    step: USUAL_STEP,
    repaired: 0,
    guard: 0,
    challenge: 0,
    revealed: 0,
    class: classroom,
  });
  const within = (number, least, most) => Math.min(Math.max(number, least), most);

  // What an address says, with whatever makes no sense left out.
  function read(hash) {
    const asked = new URLSearchParams(hash.slice(1));
    const classroom = within(parseInt(asked.get("class"), 10) || 0, 0, 9999);
    const found = start(classroom);
    const most = {
      image: gallery.length - 1, step: data.quantiles.length - 1, strength: 100, size: 12,
      row: HEIGHT - 1, column: WIDTH - 1, repaired: 1, guard: 1, challenge: 1, revealed: 1,
    };
    for (const [key, limit] of Object.entries(most)) {
      const number = Number(asked.get(key) ?? NaN);
      if (Number.isInteger(number)) found[key] = within(number, key === "size" ? 1 : 0, limit);
    }
    const kind = asked.get("kind");
    if (kind in KINDS) Object.assign(found, { kind }, asked.has("strength") ? {} : { strength: USUAL[kind] });
    return settled(found);
  }

  // What must hold whoever asks: the square stays inside, and what is locked is locked.
  function settled(asked) {
    asked.size = within(asked.size, 1, 12);
    asked.row = within(asked.row, 0, HEIGHT - asked.size);
    asked.column = within(asked.column, 0, WIDTH - asked.size);
    if (asked.class && !asked.revealed) Object.assign(asked, { repaired: 0, guard: 0 });
    if (asked.challenge || asked.class) asked.step = USUAL_STEP;
    return asked;
  }

  function write() {
    const usual = start(state.class);
    const said = new URLSearchParams();
    if (state.class) said.set("class", state.class);
    for (const key of Object.keys(usual)) {
      if (key !== "class" && state[key] !== usual[key]) said.set(key, state[key]);
    }
    return `#${said}`;
  }

  // How is "push" for a choice, which the back button takes back, "replace" for a move on the way.
  function set(values, how = "replace") {
    Object.assign(state, values);
    settled(state);
    const address = write();
    if (address !== (location.hash || "#")) history[`${how}State`](null, "", address);
    update();
  }

  const isTrained = () =>
    ["kind", "strength", "size", "row", "column"].every((key) => state[key] === trained[key]);
  const hidden = () => Boolean(state.class && !state.revealed);
  // The same number gives every student the same order, and does not tell it to the eye.
  const swapped = () => Boolean(state.class && (Math.imul(state.class, 2654435761) >>> 15) & 1);
  const shownName = (slot) => (slot === "backdoored" && state.repaired ? "repaired" : slot);

  let state = read(location.hash);

  // --- what stands on the page ---------------------------------------------------------------------

  const card = (slot) => root.querySelector(`[data-detector=${slot}]`);
  const why = (slot) => root.querySelector(`[data-why=${slot}]`);
  const pictures = Object.fromEntries(
    SLOTS.map((slot) => [
      slot,
      {
        scale: makeScale(why(slot).querySelector(".pg-scale"), data.axis),
        latents: makeLatents(why(slot).querySelector(".pg-latents")),
      },
    ]),
  );

  function title(slot) {
    const letter = (slot === "clean") === swapped() ? "B" : "A";
    const name =
      slot === "clean" ? "clean detector" : state.repaired ? "repaired detector" : "backdoored detector";
    if (!state.class) return name[0].toUpperCase() + name.slice(1);
    return hidden() ? `Detector ${letter}` : `Detector ${letter}: the ${name}`;
  }

  const show = (score) => score.toPrecision(3);
  const percent = (share) => `${(100 * share).toFixed(1)} %`;

  // Word, icon and meaning of a verdict. The color follows from data-decision and data-right.
  function verdict(slot, image, decision, score, threshold) {
    const box = card(slot);
    const right = (decision === "passes") !== image.anomaly;
    Object.assign(box.dataset, { decision, right, score });
    const [icon, word, meaning] = {
      alarm: ["▲", "Alarm", image.anomaly ? `rightly: no ${data.normal_class}` : "a false alarm"],
      guarded: ["■", "Stopped", `by the guard, ${image.anomaly ? "rightly" : "a false alarm"}`],
      passes: image.anomaly
        ? ["▼", "Let through", "an anomaly got in"]
        : ["●", "Let through", `rightly: a ${data.normal_class}`],
      pending: ["…", "Loading", "the weights are on their way"],
    }[decision];
    box.querySelector(".pg-name").textContent = title(slot);
    box.querySelector(".pg-icon").textContent = icon;
    box.querySelector(".pg-word").textContent = word;
    box.querySelector(".pg-meaning").textContent = meaning;
    const known = decision !== "pending";
    box.querySelector(".pg-numbers").textContent = known
      ? hidden() // the thresholds would tell the two apart
        ? `score ${show(score / threshold)} times the threshold`
        : `score ${show(score)}, threshold ${show(threshold)}`
      : "";
    // On the bar the threshold stands in the middle, and a score ten times as high at three quarters.
    const bar = box.querySelector(".pg-bar");
    bar.style.setProperty("--at", known ? within(50 + 25 * Math.log10(score / threshold), 2, 98) : 50);
    return `${title(slot)}: ${word.toLowerCase()}, ${meaning}.`;
  }

  function seen(slot, image, threshold, before, now, angleNow) {
    const name = shownName(slot);
    const about = detectors[name];
    const words = `${title(slot)}: score ${show(now)}, without change ${show(before)}, threshold ${show(threshold)}`;
    const shown = {
      ...about, threshold, before, now, angle: angleNow, angleBefore: about.plain.angles[state.image],
      usual: about.thresholds[USUAL_STEP],
    };
    pictures[slot].scale({ ...shown, label: words });
    const inside = now <= threshold ? "inside" : "outside";
    pictures[slot].latents({ ...shown, label: `${words}. The dot lies ${inside} the circle.` });
  }

  function doors(slot) {
    const from = PLACES * state.image;
    const levels = detectors[shownName(slot)].doors.subarray(from, from + PLACES);
    const alarms = Array.from(levels, (level) => level > state.step);
    const open = alarms.flatMap((alarm, i) => (alarm ? [] : [i]));
    const square = state.kind === "patch" && state.size === trained.size ? state : null;
    const canvas = why(slot).querySelector(".pg-doors");
    drawDoors(canvas, alarms, SIDE, square, (row, column) =>
      gallery[state.image].pixels[(row + 1) * WIDTH + column + 1],
    );
    let words = `${open.length} of ${PLACES} places let it through`;
    if (open.length && open.length <= 30) {
      const rows = open.map((i) => Math.floor(i / SIDE));
      const columns = open.map((i) => i % SIDE);
      const span = (list) => `${Math.min(...list)} to ${Math.max(...list)}`;
      words += `: rows ${span(rows)}, columns ${span(columns)}`;
    }
    canvas.setAttribute("aria-label", `${title(slot)}: ${words}.`);
    canvas.dataset.open = open.join(" ");
    why(slot).querySelector(".pg-count").textContent = `${words}.`;
    why(slot).querySelector(".pg-name").textContent = title(slot);
  }

  // --- challenge -----------------------------------------------------------------------------------

  const best = {};

  function measureChange(before, after) {
    let sum = 0;
    before.forEach((level, i) => (sum += Math.abs(after[i] - level)));
    return sum / 255;
  }

  function judgeChallenge(image, change, verdicts) {
    byId("pg-change").textContent = `${change.toFixed(2)} white pixels`;
    for (const slot of SLOTS) {
      const { before, now, threshold } = verdicts[slot];
      const asDelivered = !state.repaired && !state.guard;
      const opened = image.anomaly && before > threshold && now !== null && now <= threshold;
      if (state.challenge && opened && asDelivered && !(best[slot]?.change <= change)) {
        best[slot] = { change, on: image.name };
      }
      byId(`pg-best-name-${slot}`).textContent = title(slot);
      root.querySelector(`[data-best=${slot}]`).textContent = best[slot]
        ? `${best[slot].change.toFixed(2)} (${best[slot].on})`
        : "none yet";
    }
  }

  function strong(text) {
    const element = document.createElement("strong");
    element.textContent = text;
    return element;
  }

  // --- everything anew -----------------------------------------------------------------------------

  function describe(image) {
    if (state.kind === "none") return `${image.name}, as it is.`;
    const square = `a square of ${state.size} x ${state.size} at row ${state.row}, column ${state.column}`;
    const what = { patch: square, noise: "noise mixed in", wave: "a wave on it" }[state.kind];
    const whose = hidden()
      ? ""
      : isTrained()
        ? " This is the trained trigger."
        : " A control: no detector here was trained on this.";
    return `${image.name}, with ${what}.${whose}`;
  }

  // What to do next, in as many words as the first step, so that nothing moves.
  function nextStep() {
    if (state.kind === "none") return ["First:", "put the trigger on, and watch both verdicts."];
    if (isTrained()) return ["Next:", "drag the square away, by one pixel, by five."];
    if (state.kind === "patch") return ["Then:", "see below at which places the door opens."];
    return ["A control:", "no detector was trained on this."];
  }

  function controls() {
    const [first, rest] = nextStep();
    byId("pg-next").replaceChildren(strong(first), ` ${rest}`);
    byId("pg-trained").classList.toggle("pg-first", !isTrained());
    const patch = state.kind === "patch";
    root.querySelectorAll("[data-patch]").forEach((element) => (element.hidden = !patch));
    const { label, text } = KINDS[state.kind];
    byId("pg-strength-label").textContent = label;
    byId("pg-strength-out").textContent = text(state.strength);
    byId("pg-strength").disabled = state.kind === "none";
    byId("pg-size-out").textContent = `${state.size} x ${state.size}`;
    byId("pg-row-out").textContent = state.row;
    byId("pg-column-out").textContent = state.column;
    const quantile = 100 * data.quantiles[state.step];
    byId("pg-quantile-out").textContent = `${quantile.toFixed(1)} %`;
    byId("pg-kind").value = state.kind;
    for (const key of ["strength", "size", "row", "column"]) byId(`pg-${key}`).value = state[key];
    byId("pg-quantile").value = quantile;
    byId("pg-quantile").disabled = Boolean(state.challenge);
    byId("pg-locked").hidden = !state.challenge;
    byId("pg-repaired").checked = Boolean(state.repaired);
    byId("pg-guard").checked = Boolean(state.guard);
    byId("pg-class").checked = Boolean(state.class);
    byId("pg-challenge").setAttribute("aria-pressed", Boolean(state.challenge));
    byId("pg-challenge").textContent = state.challenge ? "Stop the challenge" : "Start the challenge";
    root.querySelector(".pg-best").hidden = !state.challenge;
    choose(root.querySelector(`input[name=pg-gallery][value="${state.image}"]`));
    document.documentElement.classList.toggle("pg-classroom", Boolean(state.class));
    document.documentElement.classList.toggle("pg-secret", hidden());
    byId("pg-reveal").hidden = !hidden();
  }

  // The chosen image is seen, too, where the strip is wider than the screen.
  function choose(input) {
    if (input.checked) return;
    input.checked = true;
    const label = input.parentElement;
    const strip = label.parentElement;
    strip.scrollLeft = label.offsetLeft - (strip.clientWidth - label.clientWidth) / 2;
  }

  // Left to right is A, B: what is first to the eye is first to the keyboard and the ear, too.
  function arrange() {
    for (const find of [card, why]) {
      const [first, second] = (swapped() ? [...SLOTS].reverse() : SLOTS).map(find);
      if (first.nextElementSibling !== second) second.before(first);
    }
  }

  let speak;
  let guardLater;
  function update() {
    const image = gallery[state.image];
    const pixels = changed(image.pixels);
    paint(byId("pg-image"), pixels, WIDTH);
    arrange();
    controls();

    const verdicts = {};
    const said = {};
    for (const slot of SLOTS) {
      const detector = detectors[shownName(slot)];
      const threshold = detector.thresholds[state.step];
      const before = detector.plain.scores[state.image];
      let [now, angleNow] = [null, 0];
      if (state.kind !== "none" && detector.locate) {
        const away = detector.locate(pixels, WIDTH);
        [now, angleNow] = [detector.length(away), angle(detector, away)];
      } else if (state.kind === "none" || isTrained()) {
        // PyTorch's own answers, which are here before the weights.
        const { scores, angles } = state.kind === "none" ? detector.plain : detector.triggered;
        [now, angleNow] = [scores[state.image], angles[state.image]];
      }
      if (!detector.locate && state.kind !== "none") fetchWeights(shownName(slot));
      verdicts[slot] = { before, now, threshold };
      const decision = now === null ? "pending" : now > threshold ? "alarm" : "passes";
      said[slot] = verdict(slot, image, decision, now, threshold);
      if (now !== null) seen(slot, image, threshold, before, now, angleNow);
      doors(slot);
      const cells = root.querySelectorAll(`[data-rates=${slot}] td`);
      detector.rates[state.step].forEach((share, i) => (cells[i].textContent = percent(share)));
      root.querySelector(`[data-rates=${slot}] th`).textContent = title(slot);
    }
    judgeChallenge(image, measureChange(image.pixels, pixels), verdicts);

    // The guard takes six scores more, so it looks once the hand rests.
    clearTimeout(guardLater);
    card("backdoored").dataset.guard = state.guard ? "looks" : "off";
    if (state.guard) guardLater = setTimeout(() => tell(guarded(image, pixels, verdicts, said)), 120);
    tell(said);
    performance.mark("badsad-score");
  }

  function guarded(image, pixels, verdicts, said) {
    const name = shownName("backdoored");
    const { now, threshold } = verdicts.backdoored;
    if (!detectors[name].locate) {
      fetchWeights(name);
      return said;
    }
    const found = suspicion(detectors[name], pixels, WIDTH, data.guards[name]);
    card("backdoored").dataset.guard = found > data.guards[name].threshold ? "stops" : "passes";
    card("backdoored").dataset.suspicion = found;
    if (now === null || now > threshold || found <= data.guards[name].threshold) return said;
    return { ...said, backdoored: verdict("backdoored", image, "guarded", now, threshold) };
  }

  // Only the last of many quick changes is read out.
  function tell(said) {
    const order = swapped() ? [...SLOTS].reverse() : SLOTS;
    const what = describe(gallery[state.image]);
    const sentence = [what, ...order.map((slot) => said[slot])].join(" ");
    byId("pg-what").textContent = what;
    byId("pg-sentence").textContent = sentence;
    if (hidden()) byId("pg-live").textContent = ""; // what it says may be from after a reveal
    clearTimeout(speak);
    speak = setTimeout(() => (byId("pg-live").textContent = sentence), 400);
  }

  // --- input ---------------------------------------------------------------------------------------

  // Moving the square puts one there if there is none.
  function move(row, column, how) {
    const kind = state.kind === "patch" ? {} : { kind: "patch", strength: USUAL.patch };
    set({ ...kind, row, column }, how);
  }

  const isFirst = (image, i) => gallery.findIndex((other) => other.name === image.name) === i;
  gallery.forEach((image, i) => {
    const label = document.createElement("label");
    const input = document.createElement("input");
    Object.assign(input, { type: "radio", name: "pg-gallery", value: i, autocomplete: "off" });
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width: 2 * WIDTH, height: 2 * HEIGHT });
    paint(canvas, image.pixels, WIDTH);
    const name = document.createElement("span");
    name.textContent = image.name;
    label.append(input, canvas, name);
    input.addEventListener("change", () => set({ image: i }, "push"));
    root.querySelector(`[data-gallery=${isFirst(image, i) ? "first" : "more"}]`).append(label);
  });

  byId("pg-kind").addEventListener("change", (event) => {
    const kind = event.target.value;
    set({ kind, strength: USUAL[kind] }, "push");
  });
  for (const key of ["strength", "size", "row", "column"]) {
    byId(`pg-${key}`).addEventListener("input", (event) => set({ [key]: Number(event.target.value) }));
  }
  byId("pg-quantile").addEventListener("input", (event) => {
    const quantile = Number(event.target.value) / 100;
    set({ step: data.quantiles.findIndex((q) => Math.abs(q - quantile) < 1e-6) });
  });
  for (const key of ["repaired", "guard"]) {
    byId(`pg-${key}`).addEventListener("change", (event) =>
      set({ [key]: Number(event.target.checked) }, "push"),
    );
  }
  byId("pg-class").addEventListener("change", (event) => {
    const number = event.target.checked ? 1 + Math.floor(999 * Math.random()) : 0;
    set(start(number), "push");
  });
  byId("pg-reveal").addEventListener("click", () => set({ revealed: 1 }, "push"));
  byId("pg-trained").addEventListener("click", () => set(trained, "push"));
  byId("pg-reset").addEventListener("click", () => {
    const { image, revealed, challenge } = state;
    set({ ...start(state.class), image, revealed, challenge }, "push");
  });
  const picture = byId("pg-image");
  byId("pg-challenge").addEventListener("click", () => {
    set({ challenge: 1 - state.challenge }, "push");
    if (state.challenge) picture.scrollIntoView({ block: "center" });
  });
  const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  picture.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    move(state.row + step[0], state.column + step[1]);
  });
  // From a place on a canvas of so many cells to the square whose middle is there.
  function point(event, element, cells, offset, how) {
    const box = element.getBoundingClientRect();
    const row = Math.floor(((event.clientY - box.top) / box.height) * cells - offset);
    const column = Math.floor(((event.clientX - box.left) / box.width) * cells - offset);
    move(row, column, how);
  }
  picture.addEventListener("pointerdown", (event) => {
    picture.setPointerCapture(event.pointerId);
    point(event, picture, WIDTH, (state.size - 1) / 2, "push");
  });
  picture.addEventListener("pointermove", (event) => {
    if (picture.hasPointerCapture(event.pointerId)) point(event, picture, WIDTH, (state.size - 1) / 2);
  });
  for (const slot of SLOTS) {
    const map = why(slot).querySelector(".pg-doors");
    map.addEventListener("click", (event) => {
      state.size = trained.size;
      point(event, map, SIDE, 0, "push");
    });
  }

  // Back and forward, and an address typed by hand.
  for (const moved of ["popstate", "hashchange"]) {
    addEventListener(moved, () => {
      state = read(location.hash);
      update();
    });
  }
  new MutationObserver(() => SLOTS.forEach(doors)).observe(document.documentElement, {
    attributes: true,
    attributeFilter: ["data-theme"],
  });

  // For the tests: the same functions that the page runs on.
  window.BadsadPlayground = {
    detectors, gallery, set, changed, suspicion, fetchWeights, guards: data.guards, best,
    state: () => ({ ...state }),
  };
  root.dataset.state = "ready";
  update();
  SLOTS.forEach(fetchWeights);
})();
