// The probe's state: the segment that is asked about, what is how similar to it, the threshold.
// Nothing here touches the page.

/** @import { Patches, ProbeMode } from "./types.d.ts" */
/** @typedef {[number, number]} Range */

const MOST_MATCHES = 24;

/**
 * Cosine of vector `id` with all rows of `vectors`.
 * @param {Float32Array} vectors Of unit length.
 * @param {number} width Numbers in each.
 * @param {number} id
 */
export function cosines(vectors, width, id) {
  const n = width ? vectors.length / width : 0;
  const found = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    let sum = 0;
    for (let d = 0; d < width; d++) sum += vectors[i * width + d] * vectors[id * width + d];
    found[i] = Math.max(-1, Math.min(1, sum));
  }
  return found;
}

/**
 * Cosine of vector `id` with every patch.
 * @param {Pick<Patches, "values" | "scales">} patches
 * @param {Float32Array} vectors
 * @param {number} width
 * @param {number} id
 */
export function patchCosines({ values, scales }, vectors, width, id) {
  const found = new Float32Array(scales.length);
  for (let i = 0; i < scales.length; i++) {
    let sum = 0;
    for (let d = 0; d < width; d++) sum += values[i * width + d] * vectors[id * width + d];
    found[i] = Math.max(-1, Math.min(1, sum * scales[i]));
  }
  return found;
}

/**
 * Where the colours begin and end: most maps use a small part of -1 .. 1, so they are stretched.
 * @param {ArrayLike<number>} values
 * @returns {Range}
 */
export function heatRange(values) {
  const sorted = Float32Array.from(values).sort();
  if (sorted.length === 0) return [0, 1];
  const low = sorted[Math.floor(0.02 * (sorted.length - 1))];
  const high = sorted[sorted.length - 1];
  return high - low < 1e-6 ? [low - 0.5, high] : [low, high];
}

/**
 * Where a value lies in a range, 0 to 1 inside.
 * @param {number} value
 * @param {Range} range
 */
export function shareOf(value, [low, high]) {
  return (value - low) / Math.max(1e-9, high - low);
}

export class ProbeState {
  query = -1;
  /** @type {Float32Array | null} */
  scores = null; // of every segment
  /** @type {Float32Array | null} */
  heat = null; // of every patch
  /** @type {Range} */
  heatRange = [0, 1];
  /** @type {Range} */
  segmentRange = [0, 1];

  /**
   * @param {Float32Array} vectors
   * @param {number} width
   * @param {Patches | null} patches
   * @param {number | null} threshold
   */
  constructor(vectors, width, patches, threshold) {
    this.vectors = vectors;
    this.width = width;
    this.patches = patches;
    this.threshold = threshold;
    /** @type {ProbeMode} */
    this.mode = patches ? "patches" : "segments";
  }

  /**
   * @param {number} id Of a segment; another number for none.
   * @param {number} n Number of segments.
   */
  ask(id, n) {
    this.query = id >= 0 && id < n ? id : -1;
    const asked = this.query >= 0;
    this.scores = asked ? cosines(this.vectors, this.width, this.query) : null;
    this.heat = asked && this.patches ?
      patchCosines(this.patches, this.vectors, this.width, this.query) : null;
    this.segmentRange = this.scores ? heatRange(this.scores) : [0, 1];
    this.heatRange = this.heat ? heatRange(this.heat) : this.segmentRange;
  }

  /**
   * Set the threshold by the slider, which runs over the similarities of segments, whatever the
   * heat map shows.
   * @param {number} share Of the range, 0 to 1.
   */
  setShare(share) {
    const [low, high] = this.segmentRange;
    this.threshold = low + share * (high - low);
  }

  /** Segments at or above the threshold. */
  above() {
    const { scores, threshold } = this;
    if (!scores || threshold === null) return [];
    return Array.from(scores.keys()).filter((i) => scores[i] >= threshold);
  }

  /** The most similar segments, the best first. */
  ranked() {
    const { scores } = this;
    if (!scores) return [];
    return Array.from(scores.keys()).filter((i) => i !== this.query)
      .sort((a, b) => scores[b] - scores[a] || a - b).slice(0, MOST_MATCHES);
  }
}
