// The messages that a filter selects, the newest first, as far as they are loaded.

import { json, query } from './api.js'
import { isSampling } from './live.js'
import { Value } from './values.js'

/** @typedef {import('../types').Filter} Filter */
/** @typedef {import('../types').List} List */
/** @typedef {import('../types').Summary} Summary */

/** Messages of the newest page, which is asked for again and again, and of others. */
export const NEWEST = 60
const PAGE = 200
/** Milliseconds between two looks at what is new: one by one, and of samples. */
const [SOON, SECOND] = [150, 1000]

export class Messages {
  /** @type {Summary[]} */
  rows = []
  total = 0
  evicted = 0
  /** New ones that are not among the rows, as the list is not at its top; -1: a whole page or more. */
  waiting = 0
  /** Whether rows stay where they are. */
  isHeld = false
  /** @type {string | null} */
  error = null
  isLoaded = false
  /** @type {Value<Messages>} */
  changes = new Value(/** @type {Messages} */ (this))
  /** @type {Filter} */
  filter = { query: '', inbox: '', accepted: '' }
  /** @type {string | null} */
  #next = null
  /** Numbers the filters, so that replies for an earlier one are dropped. */
  #generation = 0
  #isLoadingMore = false
  #isDue = false
  #isLooking = false

  /**
   * Shows what another filter selects.
   * @param {Filter} filter
   */
  async select(filter) {
    this.filter = filter
    this.#generation += 1
    this.isHeld = false
    await this.#look()
  }

  /** Something has arrived or gone: looks soon, once for all that happens until then. */
  stir() {
    if (this.#isDue) return
    this.#isDue = true
    setTimeout(() => {
      this.#isDue = false
      void this.#look()
    }, isSampling || this.filter.query ? SECOND : SOON)
  }

  /** Lets rows move again, and shows what has arrived. */
  release() {
    this.isHeld = false
    void this.#look()
  }

  async #look() {
    const generation = this.#generation
    if (this.#isLooking) {
      this.stir()
      return
    }
    this.#isLooking = true
    try {
      /** @type {List} */
      const list = await json(`/messages${query({ ...this.filter, limit: NEWEST })}`)
      if (generation === this.#generation) this.#merge(list)
    } catch (error) {
      if (generation !== this.#generation) return
      this.error = error instanceof Error ? error.message : String(error)
      this.changes.changed()
    } finally {
      this.#isLooking = false
      if (generation !== this.#generation) void this.#look()
    }
  }

  /** @type {number} */
  #shown = -1

  /** @param {List} list */
  #merge(list) {
    const isOther = this.#shown !== this.#generation
    this.#shown = this.#generation
    this.error = null
    this.isLoaded = true
    this.evicted = list.evicted
    const known = new Set(this.rows.map(row => row.id))
    const overlap = list.messages.findIndex(row => known.has(row.id))
    if (!isOther && this.isHeld && this.rows.length > 0) {
      this.waiting = overlap < 0 && list.messages.length < NEWEST ? list.messages.length : overlap
    } else {
      const last = list.messages.at(-1)?.id
      const end = isOther || overlap < 0 ? -1 : this.rows.findIndex(row => row.id === last)
      const rest = end >= 0 && list.next !== null ? this.rows.slice(end + 1) : []
      this.rows = [...list.messages, ...rest].slice(0, list.total)
      if (rest.length === 0) this.#next = list.next
      this.waiting = 0
    }
    this.total = list.total
    this.changes.changed()
  }

  /** How many rows there are, with those that are not loaded. Older ones may be gone meanwhile. */
  get extent() {
    return this.#next === null ? this.rows.length : Math.max(this.total, this.rows.length)
  }

  /** Loads the next page of older messages. */
  async more() {
    if (this.#isLoadingMore || this.#next === null) return
    this.#isLoadingMore = true
    const generation = this.#generation
    try {
      /** @type {List} */
      const list = await json(`/messages${query({ ...this.filter, limit: PAGE, cursor: this.#next })}`)
      if (generation !== this.#generation) return
      const known = new Set(this.rows.map(row => row.id))
      this.rows = [...this.rows, ...list.messages.filter(row => !known.has(row.id))]
      this.#next = list.next
      this.total = list.total
      this.changes.changed()
    } finally {
      this.#isLoadingMore = false
    }
  }

  /**
   * Takes those out of the rows that are no longer there.
   * @param {string[]} ids
   */
  forget(ids) {
    const gone = new Set(ids)
    const rows = this.rows.filter(row => !gone.has(row.id))
    if (rows.length === this.rows.length) return
    this.total -= this.rows.length - rows.length
    this.rows = rows
    this.changes.changed()
  }
}
