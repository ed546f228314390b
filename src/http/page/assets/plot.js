// Plots: lines over common axes, drawn as those of the reports, and as wide as there is room, so that their texts stay readable.

import { element, replace, setText, svg } from './dom.js'

/** @typedef {{ name: string, kind: string, points: [number, number][] }} Series */
/** @typedef {{ low: number, high: number, isLog?: boolean, ticks: [number, string][], title: string, show: (value: number) => string }} Axis */
/** @typedef {{ at: number, name: string }} Mark A place of the x axis with a name. */

const [TOP, RIGHT, BOTTOM, LEFT] = [14, 12, 38, 76]

/**
 * An axis from zero to a round number.
 * @param {number} highest
 * @param {string} title
 * @param {(value: number) => string} show
 * @param {number} least The least step: 1 for what is counted.
 * @returns {Axis}
 */
export function fromZero(highest, title, show, least = 0) {
  const step = Math.max(least, roundStep(Math.max(highest, 1e-9) / 4))
  const count = Math.max(1, Math.ceil(highest / step))
  const ticks = Array.from({ length: count + 1 }, (_, index) => /** @type {[number, string]} */ ([index * step, show(index * step)]))
  return { low: 0, high: count * step, ticks, title, show }
}

/**
 * An axis of a part, like the last minutes.
 * @param {number} low
 * @param {number} high
 * @param {string} title
 * @param {(value: number) => string} show
 * @param {number} most
 * @returns {Axis}
 */
export function part(low, high, title, show, most = 8) {
  const end = high > low ? high : low + 1
  const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400].find(step => (end - low) / step <= most) ?? roundStep((end - low) / most)
  /** @type {[number, string][]} */
  const ticks = []
  for (let at = Math.ceil(low / step) * step; at <= end; at += step) ticks.push([at, show(at)])
  return { low, high: end, ticks, title, show }
}

/**
 * A logarithmic axis for these values; without any it has no ticks.
 * @param {number[]} values
 * @param {string} title
 * @param {(value: number) => string} show
 * @returns {Axis}
 */
export function logarithmic(values, title, show) {
  const positive = values.filter(value => value > 0)
  if (positive.length === 0) return { low: 1, high: 10, isLog: true, ticks: [], title, show }
  const [least, most] = positive.reduce(([least, most], value) => [Math.min(least, value), Math.max(most, value)], [Infinity, 0])
  const factors = Math.log10(most / least) > 2 ? [1] : [1, 2, 5]
  /** @type {number[]} */
  const all = []
  for (let power = Math.floor(Math.log10(least)) - 1; power <= Math.ceil(Math.log10(most)) + 1; power += 1) {
    for (const factor of factors) all.push(factor * 10 ** power)
  }
  const low = all.findLast(tick => tick <= least) ?? least
  const high = all.find(tick => tick >= most && tick > low) ?? most
  return { low, high, isLog: true, ticks: all.filter(tick => tick >= low && tick <= high).map(tick => [tick, show(tick)]), title, show }
}

/** @param {number} least */
function roundStep(least) {
  const power = 10 ** Math.floor(Math.log10(least))
  return ([1, 2, 5, 10].find(factor => factor * power >= least * 0.999) ?? 10) * power
}

/**
 * @param {Axis} axis
 * @param {number} value
 */
function place(axis, value) {
  const share = axis.isLog ? Math.log(Math.max(value, axis.low) / axis.low) / Math.log(axis.high / axis.low) : (value - axis.low) / (axis.high - axis.low)
  return Number.isFinite(share) ? Math.min(1, Math.max(0, share)) : 0
}

export class Plot {
  #legend = element('div', { class: 'legend' })
  #svg
  #title
  /** @type {{ x: Axis, y: Axis, series: Series[], marks: Mark[] } | null} */
  #data = null
  /** Where the pointer is. */
  /** @type {number | null} */
  #pointer = null
  /** @type {SVGLineElement | null} */
  #cursor = null
  /** @type {HTMLElement[]} */
  #values = []
  element

  /**
   * @param {string} title
   * @param {{ height?: number, rest?: string }} [options] Pixels, and what stands in front of the last values.
   */
  constructor(title, { height = 230, rest = '' } = {}) {
    this.#title = title
    this.height = height
    this.rest = rest
    this.#svg = svg('svg', { role: 'img', 'aria-label': title })
    this.element = element('figure', null, element('figcaption', null, title), this.#legend, this.#svg)
    new ResizeObserver(() => this.#draw()).observe(this.element)
    this.#svg.addEventListener('pointermove', event => this.#point(event.clientX))
    this.#svg.addEventListener('pointerleave', () => this.#point(null))
  }

  /**
   * @param {Axis} x
   * @param {Axis} y
   * @param {Series[]} series
   * @param {Mark[]} marks
   */
  update(x, y, series, marks = []) {
    this.#data = { x, y, series, marks }
    this.#draw()
  }

  #draw() {
    const width = Math.round(this.element.clientWidth - 34)
    if (!this.#data || width < 100) return
    const { x, y, series, marks } = this.#data
    const [right, base] = [width - RIGHT, this.height - BOTTOM]
    const atX = (/** @type {number} */ value) => LEFT + place(x, value) * (right - LEFT)
    const atY = (/** @type {number} */ value) => base - place(y, value) * (base - TOP)
    this.#svg.setAttribute('viewBox', `0 0 ${width} ${this.height}`)
    const ticks = x.ticks.filter((_, index) => index % Math.ceil(x.ticks.length / Math.max(2, width / 80)) === 0)
    this.#cursor = svg('line', { class: 'axis', y1: TOP, y2: base, visibility: 'hidden' })
    replace(this.#svg,
      y.ticks.map(([value, text]) => svg('g', null,
        svg('line', { class: 'grid', x1: LEFT, x2: right, y1: atY(value), y2: atY(value) }),
        svg('text', { x: LEFT - 8, y: atY(value) + 4, 'text-anchor': 'end' }, text))),
      ticks.map(([value, text]) => svg('g', null,
        svg('line', { class: 'grid', x1: atX(value), x2: atX(value), y1: TOP, y2: base }),
        svg('text', { x: atX(value), y: base + 16, 'text-anchor': 'middle' }, text))),
      svg('line', { class: 'axis', x1: LEFT, x2: right, y1: base, y2: base }),
      svg('text', { x: (LEFT + right) / 2, y: this.height - 4, 'text-anchor': 'middle' }, x.title),
      y.ticks.length > 0 && svg('text', { x: 12, y: (TOP + base) / 2, 'text-anchor': 'middle', transform: `rotate(-90 12 ${(TOP + base) / 2})` }, y.title),
      marks.filter(({ at }) => at >= x.low && at <= x.high).map(({ at, name }) => svg('g', { class: 'phase' },
        svg('line', { x1: atX(at), x2: atX(at), y1: TOP, y2: base }),
        svg('text', { x: atX(at), y: TOP - 4, 'text-anchor': 'middle' }, name))),
      series.every(one => one.points.length === 0) && svg('text', { x: (LEFT + right) / 2, y: (TOP + base) / 2 - 8, 'text-anchor': 'middle' }, 'nothing so far'),
      series.map(one => svg('polyline', { class: one.kind, points: one.points.map(([px, py]) => `${atX(px).toFixed(1)},${atY(py).toFixed(1)}`).join(' ') })),
      series.filter(one => one.points.length === 1).map(one => svg('circle', { class: `${one.kind} mark`, cx: atX(one.points[0][0]), cy: atY(one.points[0][1]), r: 3 })),
      this.#cursor)
    this.#values = series.map(() => element('b'))
    replace(this.#legend, series.map((one, index) => element('span', null,
      svg('svg', { viewBox: '0 0 26 10', 'aria-hidden': 'true' }, svg('line', { class: one.kind, x1: 0, x2: 26, y1: 5, y2: 5 })), one.name, this.#values[index])))
    this.#point(this.#pointer)
  }

  /**
   * Shows the values under the pointer, or the last ones.
   * @param {number | null} clientX
   */
  #point(clientX) {
    this.#pointer = clientX
    if (!this.#data || !this.#cursor) return
    const { x, y, series } = this.#data
    const box = this.#svg.getBoundingClientRect()
    const share = clientX === null ? null : (clientX - box.left - LEFT) / (box.width - LEFT - RIGHT)
    const at = share === null || share < 0 || share > 1 ? null : x.low + share * (x.high - x.low)
    series.forEach((one, index) => {
      const nearest = at === null ? one.points.at(-1) : one.points.reduce((best, point) => (Math.abs(point[0] - at) < Math.abs(best[0] - at) ? point : best), one.points[0])
      setText(this.#values[index], nearest ? `${at === null ? this.rest : ''}${y.show(nearest[1])}` : '')
    })
    this.#cursor.setAttribute('visibility', at === null ? 'hidden' : 'visible')
    if (at === null) {
      this.#svg.setAttribute('aria-label', `${this.#title}: ${series.map((one, index) => `${one.name} ${this.#values[index].textContent}`).join(', ')}`)
      return
    }
    const px = LEFT + place(x, at) * (box.width - LEFT - RIGHT)
    this.#cursor.setAttribute('x1', String(px))
    this.#cursor.setAttribute('x2', String(px))
  }
}
