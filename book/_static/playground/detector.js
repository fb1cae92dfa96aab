// The forward pass of the course's detectors (badsad_lib/networks.py), in plain JavaScript.
//
// Weights come with batch normalization folded in, so a block is: 5x5 convolution, 2x2 maximum,
// plus a bias, leaky ReLU. The score is the squared distance to the center.
(function () {
  "use strict";

  const SLOPE = 0.01;
  const KERNEL = 5;
  const PAD = 2;

  function bytes(text) {
    return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  }

  // Base64 of little-endian float32 numbers.
  function floats(text) {
    return new Float32Array(bytes(text).buffer);
  }

  // Base64 of little-endian whole numbers of 16 bits, with one factor for each output.
  function weights(text, factor) {
    const whole = new Int16Array(bytes(text).buffer);
    const each = whole.length / factor.length;
    return Float32Array.from(whole, (number, i) => number * factor[Math.floor(i / each)]);
  }

  const leaky = (x) => (x < 0 ? SLOPE * x : x);

  // (channels, size, size) to (out, size / 2, size / 2), both flat.
  function block(input, channels, size, weight, bias) {
    const out = bias.length;
    const wide = size + 2 * PAD;
    const padded = new Float32Array(channels * wide * wide);
    for (let c = 0; c < channels; c++) {
      for (let y = 0; y < size; y++) {
        const from = (c * size + y) * size;
        padded.set(input.subarray(from, from + size), (c * wide + y + PAD) * wide + PAD);
      }
    }
    // Rows of the plane are as wide as the padded ones, so that one long loop covers the image:
    // it also fills the columns between two rows, which nobody reads.
    const length = (size - 1) * wide + size;
    const plane = new Float64Array(size * wide);
    const half = size / 2;
    const result = new Float32Array(out * half * half);
    for (let o = 0; o < out; o++) {
      plane.fill(0);
      for (let c = 0; c < channels; c++) {
        for (let ky = 0; ky < KERNEL; ky++) {
          const row = ((o * channels + c) * KERNEL + ky) * KERNEL;
          const w0 = weight[row];
          const w1 = weight[row + 1];
          const w2 = weight[row + 2];
          const w3 = weight[row + 3];
          const w4 = weight[row + 4];
          for (let i = 0, p = (c * wide + ky) * wide; i < length; i++, p++) {
            plane[i] +=
              w0 * padded[p] +
              w1 * padded[p + 1] +
              w2 * padded[p + 2] +
              w3 * padded[p + 3] +
              w4 * padded[p + 4];
          }
        }
      }
      for (let y = 0; y < half; y++) {
        for (let x = 0; x < half; x++) {
          const at = 2 * y * wide + 2 * x;
          const largest = Math.max(plane[at], plane[at + 1], plane[at + wide], plane[at + wide + 1]);
          result[(o * half + y) * half + x] = leaky(largest + bias[o]);
        }
      }
    }
    return result;
  }

  function linear(input, weight, count) {
    const result = new Float32Array(count);
    for (let o = 0; o < count; o++) {
      let sum = 0;
      const from = o * input.length;
      for (let i = 0; i < input.length; i++) sum += weight[from + i] * input[i];
      result[o] = sum;
    }
    return result;
  }

  // A detector from its weights: { blocks: [{weight, bias}], layers: [...], center }.
  function load(about) {
    const unpack = ({ weight, factor, bias }) => ({
      weight: weights(weight, floats(factor)),
      bias: floats(bias),
    });
    const blocks = about.blocks.map(unpack);
    const layers = about.layers.map(unpack);
    const center = floats(about.center);

    // Gray levels 0 to 255 (any array of size * size numbers) to the place, seen from the center.
    function locate(pixels, size) {
      let x = Float32Array.from(pixels, (level) => level / 255);
      let channels = 1;
      for (const { weight, bias } of blocks) {
        x = block(x, channels, size, weight, bias);
        channels = bias.length;
        size /= 2;
      }
      layers.forEach(({ weight, bias }, i) => {
        x = linear(x, weight, bias.length);
        const last = i === layers.length - 1;
        for (let k = 0; k < x.length; k++) x[k] = last ? x[k] : leaky(x[k] + bias[k]);
      });
      return x.map((value, k) => value - center[k]);
    }

    const length = (away) => away.reduce((sum, value) => sum + value ** 2, 0);
    return { locate, score: (pixels, size) => length(locate(pixels, size)), length };
  }

  // --- a guard at the door, as badsad_lib/defenses/purification.py ---------------------------------

  const clamp = (value, most) => Math.min(Math.max(value, 0), most);

  // What stands around each pixel, three by three, with the edge repeated.
  function around(pixels, size, of) {
    return Float64Array.from(pixels, (_, i) => {
      const [y, x] = [Math.floor(i / size), i % size];
      const near = [];
      for (const dy of [-1, 0, 1]) {
        for (const dx of [-1, 0, 1]) {
          near.push(pixels[clamp(y + dy, size - 1) * size + clamp(x + dx, size - 1)]);
        }
      }
      return of(near);
    });
  }

  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

  // Shrunk by a ninth and put into a corner, the edge repeated.
  function shrunk(pixels, size, [down, right]) {
    const border = Math.floor(size / 9);
    const small = size - border;
    const span = (i) => [Math.floor((i * size) / small), Math.ceil(((i + 1) * size) / small)];
    const little = Float64Array.from({ length: small * small }, (_, i) => {
      const [top, bottom] = span(Math.floor(i / small));
      const [left, end] = span(i % small);
      const values = [];
      for (let y = top; y < bottom; y++) {
        for (let x = left; x < end; x++) values.push(pixels[y * size + x]);
      }
      return mean(values);
    });
    return Float64Array.from(pixels, (_, i) => {
      const y = clamp(Math.floor(i / size) - border * down, small - 1);
      const x = clamp((i % size) - border * right, small - 1);
      return little[y * small + x];
    });
  }

  const PURIFIERS = [
    (pixels, size) => around(pixels, size, mean),
    (pixels, size) => around(pixels, size, median),
    ...[[0, 0], [0, 1], [1, 0], [1, 1]].map((corner) => (pixels, size) => shrunk(pixels, size, corner)),
  ];

  // How much more suspicious an image is than normal ones; above about.threshold it is stopped.
  function suspicion(detector, pixels, size, about) {
    const each = PURIFIERS.map((purify, i) => {
      const score = Math.log(detector.score(purify(pixels, size), size) + 1e-6);
      return (score - about.median[i]) / about.deviation[i];
    });
    return Math.max(...each);
  }

  window.BadsadDetector = { load, floats, bytes, suspicion };
})();
