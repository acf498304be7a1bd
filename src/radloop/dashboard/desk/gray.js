// Gray values of 8 or 16 bits, and the window that shows some of them from black to white. A window {low, high} is in
// fractions of the whole range, so that it means the same for the 8-bit JPEG and for the 16-bit original.

export const FULL = { low: 0, high: 1 };
const NARROWEST = 1 / 256;

// {values, width, height, bits} of the pixels of a canvas. Of 16 bits red holds the high byte and green the low one.
export function grayOf({ data, width, height }, bits) {
  const pixels = new Uint32Array(data.buffer, data.byteOffset, width * height); // 0xAABBGGRR
  const values = bits === 16 ? new Uint16Array(pixels.length) : new Uint8Array(pixels.length);
  if (bits === 16) for (let i = 0; i < values.length; i++) values[i] = ((pixels[i] & 255) << 8) | ((pixels[i] >> 8) & 255);
  else for (let i = 0; i < values.length; i++) values[i] = pixels[i];
  return { values, width, height, bits };
}

// The same at half the size, four pixels averaged: what a small view is drawn from, without steps and fast.
export function halved({ values, width, height, bits }) {
  const w = width >> 1;
  const h = height >> 1;
  const half = new values.constructor(w * h);
  for (let y = 0, at = 0; y < h; y++) {
    for (let x = 0, i = 2 * y * width; x < w; x++, i += 2) {
      half[at++] = (values[i] + values[i + 1] + values[i + width] + values[i + width + 1] + 2) >> 2;
    }
  }
  return { values: half, width: w, height: h, bits };
}

// Black to white over the window as RGBA, one entry for each gray value.
export function table({ low, high }, bits, inverted) {
  const size = 2 ** bits;
  const made = new Uint32Array(size);
  const [from, span] = [low * (size - 1), Math.max(high - low, 1e-9) * (size - 1)];
  for (let value = 0; value < size; value++) {
    const x = Math.round(Math.min(1, Math.max(0, (value - from) / span)) * 255);
    const shown = inverted ? 255 - x : x;
    made[value] = 0xff000000 | (shown << 16) | (shown << 8) | shown;
  }
  return made;
}

// One pass over a part of the picture: `out` (RGBA) is what the window shows of it.
export function apply({ values, width, height }, colours, out, { x, y, w, h } = { x: 0, y: 0, w: width, h: height }) {
  for (let row = y; row < y + h; row++) {
    for (let i = row * width + x, end = i + w; i < end; i++) out[i] = colours[values[i]];
  }
}

// The gray values below which these shares of the pixels lie, as fractions of the range.
export function quantiles({ values, bits }, shares) {
  const size = 2 ** bits;
  const counts = new Uint32Array(size);
  for (let i = 0; i < values.length; i++) counts[values[i]]++;
  return shares.map((share) => {
    let sum = 0;
    let value = 0;
    while (value < size - 1 && (sum += counts[value]) < share * values.length) value++;
    return value / (size - 1);
  });
}

// Name, and the shares of the picture's own gray values that become black and white; null is the whole range.
export const PRESETS = [
  { name: "Full", shares: null },
  { name: "Auto", shares: [0.005, 0.995] },
  { name: "Lung", shares: [0.01, 0.6] }, // air is dark
  { name: "Bone", shares: [0.4, 0.999] }, // bone and mediastinum are bright
];

export function preset({ shares }, gray) {
  if (!shares) return { ...FULL };
  const [low, high] = quantiles(gray, shares);
  return { low, high: Math.max(high, low + NARROWEST) };
}

// The window after a drag by (dx, dy) CSS pixels: to the right wider, down brighter.
export function dragged({ low, high }, dx, dy) {
  const width = Math.min(2, Math.max(NARROWEST, (high - low) * 2 ** (dx / 200)));
  const level = Math.min(1.5, Math.max(-0.5, (low + high) / 2 - dy / 500));
  return { low: level - width / 2, high: level + width / 2 };
}

// Width and level in the picture's own units, as text.
export function told({ low, high }, bits) {
  const most = 2 ** bits - 1;
  return `W ${Math.round((high - low) * most)} L ${Math.round(((high + low) / 2) * most)}`;
}
