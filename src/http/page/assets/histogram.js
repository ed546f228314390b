// Distributions of a report: HdrHistogram's compressed form V2, as base64.

/** @typedef {import('../types').Distribution} Distribution */

/** Of the form, and of what is compressed in it; the low digits say how wide its words are. */
const [COMPRESSED, PLAIN] = [0x1c849304, 0x1c849303]

/** Points for each tenfold step of a percentile spectrum, as in the reports. */
const POINTS = 24

/** Values in ascending order, each with how many there are up to it. */
export class Histogram {
  /**
   * @param {number[]} values
   * @param {number[]} upTo
   * @param {Distribution} distribution
   */
  constructor(values, upTo, { min, max }) {
    this.values = values
    this.upTo = upTo
    this.count = upTo.at(-1) ?? 0
    this.min = min ?? 0
    this.max = max ?? 0
  }

  /**
   * The value at a quantile, as the report has it.
   * @param {number} quantile
   */
  at(quantile) {
    if (quantile >= 1) return this.max
    const wanted = Math.max(1, Math.ceil(quantile * this.count))
    let [low, high] = [0, this.upTo.length - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.upTo[middle] >= wanted) high = middle
      else low = middle + 1
    }
    return Math.min(this.max, Math.max(this.min, this.values[low] ?? 0))
  }

  /** Nines and values: each nine has the same width. */
  spectrum() {
    const nines = Math.log10(Math.max(1, this.count))
    /** @type {[number, number][]} */
    const points = []
    for (let step = 0; step < nines * POINTS; step += 1) points.push([step / POINTS, this.at(1 - 10 ** (-step / POINTS))])
    points.push([nines, this.max])
    return points
  }
}

/**
 * @param {Distribution | number | null | undefined} distribution
 * @returns {Promise<Histogram | null>}
 */
export async function decoded(distribution) {
  if (!distribution || typeof distribution === 'number' || !distribution.histogram) return null
  const outer = Uint8Array.from(atob(distribution.histogram), character => character.charCodeAt(0))
  const view = new DataView(outer.buffer)
  if ((view.getUint32(0) & ~0xf0) !== COMPRESSED) return null
  const stream = new Blob([outer.subarray(8, 8 + view.getUint32(4))]).stream().pipeThrough(new DecompressionStream('deflate'))
  const inner = new Uint8Array(await new Response(stream).arrayBuffer())
  return counts(inner, distribution)
}

/**
 * @param {Uint8Array} octets
 * @param {Distribution} distribution
 */
function counts(octets, distribution) {
  const view = new DataView(octets.buffer)
  if ((view.getUint32(0) & ~0xf0) !== PLAIN) return null
  const [length, digits, lowest] = [view.getUint32(4), view.getUint32(12), Number(view.getBigUint64(16))]
  const unit = Math.max(0, Math.floor(Math.log2(lowest)))
  const half = 2 ** Math.max(Math.ceil(Math.log2(2 * 10 ** digits)) - 1, 0)
  /** @type {number[]} */
  const values = []
  /** @type {number[]} */
  const upTo = []
  let [at, index, total] = [40, 0, 0]
  while (at < 40 + length) {
    const [count, next] = number(octets, at)
    at = next
    if (count < 0) {
      index -= count
      continue
    }
    if (count > 0) {
      total += count
      values.push(highest(index, half, unit))
      upTo.push(total)
    }
    index += 1
  }
  return new Histogram(values, upTo, distribution)
}

/**
 * A number in zigzag form, of seven bits in each octet, and where the next one begins. Up to 2^53, in doubles: bits would do to 2^31.
 * @param {Uint8Array} octets
 * @param {number} at
 * @returns {[number, number]}
 */
function number(octets, at) {
  let [value, factor] = [0, 1]
  for (let read = 1; ; read += 1) {
    const octet = octets[at]
    at += 1
    // The ninth octet has eight bits.
    value += (read === 9 ? octet : octet & 0x7f) * factor
    factor *= 128
    if (octet < 0x80 || read === 9 || at >= octets.length) break
  }
  return [value % 2 === 0 ? value / 2 : -(value + 1) / 2, at]
}

/**
 * The highest value that is counted at an index.
 * @param {number} index
 * @param {number} half
 * @param {number} unit
 */
function highest(index, half, unit) {
  const bucket = Math.max(0, Math.floor(index / half) - 1)
  const within = index < 2 * half ? index : (index % half) + half
  return (within + 1) * 2 ** (bucket + unit) - 1
}
