// Tables and lists that are brought up to date in place: what is focused, scrolled or selected in them stays so.

import { element, setText } from './dom.js'

/** @typedef {{ key: string, texts: string[] }} Item */

export class Rows {
  /** @type {Map<string, { element: HTMLElement, places: Node[] }>} */
  #made = new Map()
  #make
  parent

  /**
   * @param {HTMLElement} parent
   * @param {(texts: string[]) => { element: HTMLElement, places: Node[] }} make An element, and where its texts stand in it.
   */
  constructor(parent, make) {
    this.parent = parent
    this.#make = make
  }

  /** @param {string} key */
  element(key) {
    return this.#made.get(key)?.element
  }

  /** @param {Item[]} items Each with a key of its own. */
  update(items) {
    const keys = new Set(items.map(({ key }) => key))
    for (const [key, { element }] of this.#made) {
      if (keys.has(key)) continue
      element.remove()
      this.#made.delete(key)
    }
    items.forEach(({ key, texts }, index) => {
      const own = this.#made.get(key) ?? this.#make(texts)
      this.#made.set(key, own)
      own.places.forEach((place, at) => setText(place, texts[at] ?? ''))
      if (this.parent.children[index] !== own.element) this.parent.insertBefore(own.element, this.parent.children[index] ?? null)
    })
  }
}

/** A table in a card, with a name in the first column of each row; without rows it is hidden. */
export class Table {
  #body = element('tbody')
  #rows = new Rows(this.#body, texts => {
    const places = texts.map((_, index) => index === 0 ? element('th', { scope: 'row', class: 'words' }) : element('td'))
    return { element: element('tr', null, places), places }
  })
  element

  /**
   * @param {string} title
   * @param {string[]} heads
   */
  constructor(title, heads) {
    this.element = element('section', { class: 'card', hidden: true }, element('h2', null, title), element('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': title }, element('table', null,
      element('thead', null, element('tr', null, heads.map((head, index) => element('th', { scope: 'col', class: index === 0 && 'words' }, head || element('span', { class: 'offscreen' }, 'name'))))),
      this.#body)))
  }

  /** @param {Item[]} items */
  update(items) {
    this.element.hidden = items.length === 0
    this.#rows.update(items)
  }
}
