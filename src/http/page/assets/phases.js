// Phases between marks, beside each other. A phase that has ended is remembered in this tab: the server has figures from a mark up to now
// only.

import { change, json, query } from './api.js'
import { duration, number, rate } from './format.js'
import { connection } from './live.js'
import { Table } from './tables.js'

/** @typedef {import('../types').Report} Report */

/** What is compared of a phase. */
/** @typedef {{ name: string, seconds: number, messages: number, refused: number, think: number | null, service: number | null, gaveUp: number }} Row */

export class Phases {
  #table = new Table('Phases', ['phase', 'length', 'messages', 'a second', 'refused', 'think p99', 'service p99', 'gave up'])
  element = this.#table.element
  /** @type {Row[]} */
  #ended = []
  /** @type {{ name: string, at: string }[]} */
  #marks = []
  /** The server of these. */
  #server = ''

  /** Names of the marks that were set from this tab. */
  marks() {
    this.#restore()
    return this.#marks.map(mark => mark.name)
  }

  /**
   * The marks as places of the time of a run.
   * @param {Report} report
   */
  places({ runs }) {
    const run = runs[0]
    return run ? this.#marks.map(({ name, at }) => ({ name: `mark ${name}`, at: run.ends_s - (Date.parse(run.ends_at) - Date.parse(at)) / 1000 })) : []
  }

  /** Ends a phase and begins another, behind a new mark. */
  async mark() {
    this.#restore()
    const last = this.#marks.at(-1)?.name ?? ''
    const { mark } = await change('POST', '/marks')
    // What arrives between the two is in both.
    try {
      this.#ended.push(row(last || 'start', await json(`/report${query({ since: last })}`)))
    } catch {
      // The server remembers the last marks only.
    }
    this.#marks.push({ name: mark.id, at: mark.at })
    this.#marks.splice(0, this.#marks.length - 30)
    sessionStorage.setItem('smtpmock-phases', JSON.stringify({ server: this.#server, ended: this.#ended, marks: this.#marks }))
    return mark.id
  }

  /**
   * Shows them, with the figures of now behind them.
   * @param {Report} report
   * @param {string} since The mark behind which its figures are; empty: all of them.
   */
  current(report, since) {
    this.#restore()
    const ended = this.#ended.slice(-10).map(one => item(one, one.name === 'start' ? 'from the start' : `from mark ${one.name}`))
    const now = item(row('now', report), since ? `since mark ${since}, up to now` : 'since the start, up to now')
    this.#table.update(this.#marks.length === 0 ? [] : [...ended, now])
  }

  /** Those of this server: another one has other marks. */
  #restore() {
    const server = connection.get().server?.started_at ?? ''
    if (server === this.#server) return
    this.#server = server
    const stored = JSON.parse(sessionStorage.getItem('smtpmock-phases') ?? '{}')
    const isOwn = stored.server === server
    this.#ended = isOwn ? stored.ended : []
    this.#marks = isOwn ? stored.marks : []
  }
}

/**
 * @param {Row} one
 * @param {string} name
 */
function item(one, name) {
  const time = (/** @type {number | null} */ value) => value === null ? '–' : duration(value)
  return { key: one.name, texts: [name, duration(one.seconds), number(one.messages), rate(one.seconds > 0 ? one.messages / one.seconds : 0),
    number(one.refused), time(one.think), time(one.service), number(one.gaveUp)] }
}

/**
 * @param {string} name
 * @param {Report} report
 * @returns {Row}
 */
function row(name, { runs, metrics }) {
  const worst = (/** @type {string} */ figure) => {
    const found = Object.entries(metrics).filter(([own]) => own.startsWith(`${figure}.`))
      .map(([, value]) => (value && typeof value === 'object' ? value.p99 : null)).filter(value => value !== null)
    return found.length > 0 ? Math.max(...found) / 1e6 : null
  }
  return {
    name,
    seconds: (runs[0]?.ends_s ?? 0) - (runs[0]?.begins_s ?? 0),
    messages: Number(metrics['messages'] ?? 0),
    refused: Number(metrics['messages.refused'] ?? 0),
    think: worst('think'),
    service: worst('service'),
    gaveUp: Number(metrics['sessions.gave_up'] ?? 0),
  }
}
