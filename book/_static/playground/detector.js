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
    const half = size / 2;
    const result = new Float32Array(out * half * half);
    const plane = new Float32Array(size * size);
    for (let o = 0; o < out; o++) {
      plane.fill(0);
      for (let c = 0; c < channels; c++) {
        for (let ky = 0; ky < KERNEL; ky++) {
          for (let kx = 0; kx < KERNEL; kx++) {
            const w = weight[((o * channels + c) * KERNEL + ky) * KERNEL + kx];
            for (let y = 0; y < size; y++) {
              const from = (c * wide + y + ky) * wide + kx;
              const to = y * size;
              for (let x = 0; x < size; x++) plane[to + x] += w * padded[from + x];
            }
          }
        }
      }
      for (let y = 0; y < half; y++) {
        for (let x = 0; x < half; x++) {
          const at = 2 * y * size + 2 * x;
          const largest = Math.max(plane[at], plane[at + 1], plane[at + size], plane[at + size + 1]);
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
