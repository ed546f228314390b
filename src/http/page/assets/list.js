// The list of messages: only the rows that can be seen are elements.

import { element, replace, setText, visible } from './dom.js'
import { counted, fullTime, number, octets, shortTime } from './format.js'
import { NEWEST } from './messages.js'

/** @typedef {import('../types').Summary} Summary */
/** @typedef {import('./messages.js').Messages} Messages */

/** Pixels of a row; `style.css` has the same. */
const ROW = 76
/** Rows beyond those that can be seen. */
const MORE = 6

export class List {
  /** @type {Map<string, HTMLElement>} */
  #shown = new Map()
  /** @type {Messages} */
  #messages
  #rows = element('ul', { class: 'rows' })
  #pill = element('button', { type: 'button', class: 'pill', hidden: true })
  #scroller
  element
  /** @type {string} */
  #selected = ''
  /** @type {string | null} The one below the selected one, which has its place when that is gone; null for the last one. */
  #below = ''
  /** @type {(id: string) => string} */
  #hrefOf

  /**
   * @param {Messages} messages
   * @param {(id: string) => string} hrefOf
   */
  constructor(messages, hrefOf) {
    this.#messages = messages
    this.#hrefOf = hrefOf
    this.#scroller = element('div', { class: 'scroller', tabindex: '0', role: 'region', 'aria-label': 'Messages' }, this.#rows)
    this.element = element('div', { class: 'list' }, this.#pill, this.#scroller)
    this.#pill.addEventListener('click', () => {
      this.#scroller.scrollTop = 0
      messages.release()
    })
    this.#scroller.addEventListener('scroll', () => {
      const isHeld = this.#scroller.scrollTop > ROW / 2
      if (messages.isHeld && !isHeld) messages.release()
      messages.isHeld = isHeld
      this.draw()
    }, { passive: true })
    new ResizeObserver(() => this.draw()).observe(this.#scroller)
    messages.changes.watch(() => this.draw())
  }

  /** @param {string} id */
  select(id) {
    this.#shown.get(this.#selected)?.querySelector('a')?.removeAttribute('aria-current')
    this.#selected = id
    this.#shown.get(id)?.querySelector('a')?.setAttribute('aria-current', 'true')
    this.#remember()
  }

  /** Where the selected one is. */
  #remember() {
    const { rows } = this.#messages
    const at = rows.findIndex(row => row.id === this.#selected)
    if (at >= 0) this.#below = rows[at + 1]?.id ?? null
  }

  /**
   * The message so many rows from the selected one, moved into view.
   * @param {number} by
   * @returns {string | null}
   */
  step(by) {
    const { rows } = this.#messages
    const at = rows.findIndex(row => row.id === this.#selected)
    const row = rows[this.#target(at, by)]
    if (!row || row.id === this.#selected) return null
    const [top, height] = [rows.indexOf(row) * ROW, this.#scroller.clientHeight]
    if (top < this.#scroller.scrollTop) this.#scroller.scrollTop = top
    else if (top + ROW > this.#scroller.scrollTop + height) this.#scroller.scrollTop = top + ROW - height
    return row.id
  }

  /**
   * @param {number} at The place of the selected one, or -1.
   * @param {number} by
   */
  #target(at, by) {
    const { rows } = this.#messages
    if (at >= 0) return Math.min(rows.length - 1, Math.max(0, at + by))
    // It is gone: the one below it has moved up into its place.
    if (this.#below === null) return rows.length - 1
    const place = rows.findIndex(row => row.id === this.#below)
    return place < 0 ? 0 : Math.max(0, by > 0 ? place + by - 1 : place + by)
  }

  draw() {
    const { rows, total, waiting, extent, error } = this.#messages
    this.#remember()
    this.#pill.hidden = waiting === 0
    setText(this.#pill, waiting < 0 ? `${NEWEST} or more new` : `${number(waiting)} new`)
    // They are those of the search before.
    this.element.classList.toggle('former', error !== null)
    this.#rows.style.height = `${extent * ROW}px`
    const first = Math.max(0, Math.floor(this.#scroller.scrollTop / ROW) - MORE)
    const last = Math.ceil((this.#scroller.scrollTop + this.#scroller.clientHeight) / ROW) + MORE
    if (last + MORE > rows.length && rows.length < extent) void this.#messages.more()
    const seen = rows.slice(first, last)
    const ids = new Set(seen.map(row => row.id))
    for (const [id, node] of this.#shown) {
      if (ids.has(id)) continue
      if (node.contains(document.activeElement)) this.#scroller.focus({ preventScroll: true })
      node.remove()
      this.#shown.delete(id)
    }
    seen.forEach((row, index) => {
      let node = this.#shown.get(row.id)
      if (!node) {
        node = this.#row(row)
        this.#shown.set(row.id, node)
      }
      // The filter may be another one since.
      node.querySelector('a')?.setAttribute('href', this.#hrefOf(row.id))
      node.style.transform = `translateY(${(first + index) * ROW}px)`
      node.setAttribute('aria-setsize', String(total))
      node.setAttribute('aria-posinset', String(first + index + 1))
      // In the order in which they are read.
      const at = this.#rows.children[index]
      if (at !== node) this.#rows.insertBefore(node, at ?? null)
    })
  }

  /** @param {Summary} row */
  #row(row) {
    const to = row.envelope.to.filter(one => one.accepted || !row.accepted).map(one => one.address)
    const more = to.length > 1 ? ` and ${number(to.length - 1)} more` : ''
    const at = row.accepted_at ?? row.connected_at
    const link = element('a', { 'aria-current': row.id === this.#selected && 'true' },
      element('span', { class: 'line' },
        element('span', { class: row.subject ? 'subject' : 'subject none', dir: 'auto' }, row.subject ? visible(row.subject) : 'No subject'),
        element('time', { datetime: at, title: fullTime(at) }, shortTime(at))),
      element('span', { class: 'line soft' },
        element('span', { class: 'people' }, element('bdi', null, visible(row.envelope.from || '<>')),
          element('span', { class: 'arrow', 'aria-label': 'to' }, ' → '),
          element('bdi', null, visible(to[0] ?? 'nobody')), more),
        tags(row)),
      element('span', { class: 'snippet', dir: 'auto' }, visible(row.snippet) || '\u00a0'))
    return element('li', null, link)
  }
}

/** @param {Summary} row */
function tags(row) {
  const tag = (/** @type {string} */ name, kind = '') => element('span', { class: `tag ${kind}` }, name)
  const holder = element('span', { class: 'tags' })
  replace(holder, !row.accepted && tag('refused', 'bad'), row.tls && tag('TLS'),
    row.attachments > 0 && tag(counted(row.attachments, 'file')), row.size >= 1 << 20 && tag(octets(row.size)))
  return holder
}
