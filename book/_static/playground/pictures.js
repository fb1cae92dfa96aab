// What the playground draws: images, scales of scores, maps of doors and of latents.
(function () {
  "use strict";

  const SVG = "http://www.w3.org/2000/svg";
  function svg(name, attributes, parent) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (parent) parent.append(element);
    return element;
  }

  // Gray levels (size * size) on a canvas, enlarged without smoothing.
  function paint(canvas, pixels, size) {
    const context = canvas.getContext("2d");
    const small = document.createElement("canvas");
    small.width = small.height = size;
    const image = new ImageData(size, size);
    pixels.forEach((level, i) => image.data.set([level, level, level, 255], 4 * i));
    small.getContext("2d").putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, canvas.width, canvas.height);
  }

  // --- scores: normal images above the line, anomalies below ---------------------------------------

  const SCALE = { width: 300, height: 108, middle: 46, hill: 38, bottom: 84 };

  // The outline of a histogram over the axis, as a path above (up = 1) or below (-1) the line.
  function hill(counts, up) {
    const tallest = Math.max(...counts);
    const step = SCALE.width / counts.length;
    const points = counts.flatMap((count, i) => {
      const y = SCALE.middle - up * SCALE.hill * (count / tallest);
      return [`${i * step},${y}`, `${(i + 1) * step},${y}`];
    });
    return `M0,${SCALE.middle}L${points.join("L")}L${SCALE.width},${SCALE.middle}Z`;
  }

  function makeScale(host, [low, high]) {
    const { width, height, middle, bottom } = SCALE;
    const place = (score) => {
      const x = (Math.log10(Math.max(score, 1e-12)) - low) / (high - low);
      return width * Math.min(Math.max(x, 0.02), 0.98);
    };
    const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
    const hills = {
      normal: svg("path", { class: "pg-normal" }, picture),
      anomaly: svg("path", { class: "pg-anomaly" }, picture),
    };
    svg("line", { x1: 0, x2: width, y1: middle, y2: middle, class: "pg-axis" }, picture);
    for (let power = Math.ceil(low); power <= high; power++) {
      const x = place(10 ** power);
      svg("line", { x1: x, x2: x, y1: bottom, y2: bottom + 5, class: "pg-axis" }, picture);
      if (power % 2) continue; // words of 12 px need the room of two
      const label = svg("text", { x, y: height - 4, class: "pg-tick" }, picture);
      label.textContent = String(Number((10 ** power).toPrecision(1)));
    }
    const threshold = svg("line", { y1: 4, y2: bottom, class: "pg-threshold" }, picture);
    const before = svg("circle", { cy: middle, r: 7, class: "pg-before" }, picture);
    const now = svg("circle", { cy: middle, r: 7, class: "pg-now" }, picture);
    host.append(picture);
    return (shown) => {
      for (const group of Object.keys(hills)) {
        hills[group].setAttribute("d", hill(shown.hills[group], group === "normal" ? 1 : -1));
      }
      for (const end of ["x1", "x2"]) threshold.setAttribute(end, place(shown.threshold));
      before.setAttribute("cx", place(shown.before));
      now.setAttribute("cx", place(shown.now));
      picture.setAttribute("aria-label", shown.label);
    };
  }

  // --- latents: how far from the center is true, in which direction is not -------------------------

  const RADIUS = 56; // of the circle at the usual threshold
  // Anomalies lie to the right, so there is more room there.
  const BOX = { left: -112, right: 148, up: 90 };
  const shapes = {
    normal: (x, y) => svg("circle", { cx: x, cy: y, r: 2.6, class: "pg-normal" }),
    anomaly: (x, y) =>
      svg("path", { d: `M${x},${y - 3.6}l3.4,6h-6.8z`, class: "pg-anomaly" }),
  };

  function makeLatents(host) {
    const { left, right, up } = BOX;
    const picture = svg("svg", { viewBox: `${left} ${-up} ${right - left} ${2 * up}`, role: "img" });
    const dots = svg("g", {}, picture);
    const circle = svg("circle", { cx: 0, cy: 0, class: "pg-threshold" }, picture);
    svg("path", { d: "M-6,0H6M0,-6V6", class: "pg-center" }, picture);
    const way = svg("line", { class: "pg-way" }, picture);
    const before = svg("circle", { r: 8, class: "pg-before" }, picture);
    const now = svg("circle", { r: 8, class: "pg-now" }, picture);
    host.append(picture);
    let drawn;
    return (shown) => {
      // The fourth root of a squared distance: near and far both have room.
      // What is farther than the picture reaches lies at its edge.
      const at = (score, angle) => {
        const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
        const reach = Math.min((up - 9) / Math.abs(sin), ((cos < 0 ? -left : right) - 9) / Math.abs(cos));
        const r = Math.min(RADIUS * (score / shown.usual) ** 0.25, reach);
        return [r * cos, -r * sin];
      };
      if (drawn !== shown.dots) {
        drawn = shown.dots;
        dots.replaceChildren();
        for (const group of ["anomaly", "normal"]) {
          const count = shown.dots[group].length / 2;
          for (let i = 0; i < count; i++) {
            const [angle, score] = [shown.dots[group][i], shown.dots[group][count + i]];
            dots.append(shapes[group](...at(score, angle)));
          }
        }
      }
      circle.setAttribute("r", RADIUS * (shown.threshold / shown.usual) ** 0.25);
      const [x1, y1] = at(shown.before, shown.angleBefore);
      const [x2, y2] = at(shown.now, shown.angle);
      for (const [key, value] of Object.entries({ x1, y1, x2, y2 })) way.setAttribute(key, value);
      for (const [dot, x, y] of [[before, x1, y1], [now, x2, y2]]) {
        dot.setAttribute("cx", x);
        dot.setAttribute("cy", y);
      }
      picture.setAttribute("aria-label", shown.label);
    };
  }

  // --- doors: every place of the square, by the verdict --------------------------------------------

  // alarms: for each place whether the alarm is raised there; square: where it is now, or null;
  // level: what the image shows (0 to 255) where the square's middle is then.
  function drawDoors(canvas, alarms, side, square, level) {
    const context = canvas.getContext("2d");
    const colors = getComputedStyle(canvas);
    const cell = canvas.width / side;
    alarms.forEach((alarm, i) => {
      const [row, column] = [Math.floor(i / side), i % side];
      const [x, y] = [column * cell, row * cell];
      context.fillStyle = colors.getPropertyValue(alarm ? "--pg-alarm-map" : "--pg-through");
      context.fillRect(x, y, cell, cell);
      if (alarm) {
        // The image shines through, so that one sees where in it a door is.
        context.globalAlpha = (0.3 * level(row, column)) / 255;
        context.fillStyle = colors.getPropertyValue("--pst-color-text-base");
        context.fillRect(x, y, cell, cell);
        context.globalAlpha = 1;
      } else {
        // A white dot, so that the door is seen without color.
        context.fillStyle = colors.getPropertyValue("--pg-on-through");
        context.fillRect(x + 0.3 * cell, y + 0.3 * cell, 0.4 * cell, 0.4 * cell);
      }
    });
    if (square) {
      context.lineWidth = 3;
      context.strokeStyle = colors.getPropertyValue("--pst-color-text-base");
      context.strokeRect((square.column - 1) * cell, (square.row - 1) * cell, 3 * cell, 3 * cell);
    }
  }

  window.BadsadPictures = { paint, makeScale, makeLatents, drawDoors };
})();
