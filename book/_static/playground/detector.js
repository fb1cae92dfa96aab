// The forward pass of the course's detectors (badsad_lib/networks.py), in plain JavaScript.
//
// Weights come from data.js with batch normalization folded in, so a block is: 5x5 convolution,
// 2x2 maximum, plus a bias, leaky ReLU. The score is the squared distance to the center.
(function () {
  "use strict";

  const SLOPE = 0.01;
  const KERNEL = 5;
  const PAD = 2;

  // Base64 of little-endian float32 numbers.
  function floats(text) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    return new Float32Array(bytes.buffer);
  }

  function bytes(text) {
    return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
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

  // A detector from data.js: { blocks: [{weight, bias, channels}], layers: [...], center }.
  function load(about) {
    const blocks = about.blocks.map((b) => ({ weight: floats(b.weight), bias: floats(b.bias) }));
    const layers = about.layers.map((l) => ({ weight: floats(l.weight), bias: floats(l.bias) }));
    const center = floats(about.center);

    // Gray levels 0 to 255 (any array of size * size numbers) to the anomaly score.
    function score(pixels, size) {
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
      return x.reduce((sum, value, k) => sum + (value - center[k]) ** 2, 0);
    }

    return { score };
  }

  window.BadsadDetector = { load, floats, bytes };
})();
