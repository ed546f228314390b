// The connection to the server: its events, what was missed without it, and whether it is another server than before.

import { events, json } from './api.js'
import { counted, duration } from './format.js'
import { Value } from './values.js'

/** @typedef {import('../types').Connection} Connection */
/** @typedef {import('../types').Figures} Figures */
/** @typedef {import('../types').Server} Server */

/** Seconds of figures that are remembered. */
const HISTORY = 600
/** Where they are stored while the page is loaded again. */
const STORED = 'smtpmock-history'
/** Messages a second from which on single ones are no longer announced to the page, and below which they are again. */
const [MANY, FEW] = [200, 100]

/** @type {Value<Connection>} */
export const connection = new Value(/** @type {Connection} */ ({ state: 'connecting', figures: null, server: null, history: [] }))

/** @type {Value<string>} */
export const notice = new Value('')

/**
 * A notice that goes by itself.
 * @param {string} text
 */
export function brief(text) {
  notice.set(text)
  setTimeout(() => { if (notice.get() === text) notice.set('') }, 8000)
}

/** Messages arrive so fast that only samples of them are shown. */
export let isSampling = false

/** @type {Set<() => void>} */
const arrivals = new Set()

/**
 * Calls this when messages have arrived or have gone.
 * @param {() => void} listener
 */
export function onArrival(listener) {
  arrivals.add(listener)
}

/** @type {Set<(ids: string[]) => void>} */
const removals = new Set()

/**
 * Calls this with the ids of messages that were removed.
 * @param {(ids: string[]) => void} listener
 */
export function onRemoval(listener) {
  removals.add(listener)
}

/** @param {string[]} ids */
function gone(ids) {
  for (const listener of removals) listener(ids)
  arrived()
}

function arrived() {
  for (const listener of arrivals) listener()
}

/** @type {AbortController} */
let stream = new AbortController()
/** @type {number | null} When it was lost, in milliseconds. */
let lostAt = null
/** @type {Figures | null} The last ones before it was lost. */
let before = null

/** @param {Partial<Connection>} change */
function update(change) {
  connection.set({ ...connection.get(), ...change })
}

/** Runs as long as the page does. */
export async function run() {
  for (let tries = 0; ; tries += 1) {
    try {
      await identify()
      stream = new AbortController()
      const types = isSampling ? 'figures,evicted' : 'message,figures,deleted,evicted'
      for await (const { name, data } of events(types, stream.signal)) {
        if (connection.get().state !== 'live') {
          update({ state: 'live' })
          arrived()
        }
        tries = 0
        if (name === 'figures') tick(data)
        else if (name === 'deleted') gone(data.ids)
        else if (name === 'message' || name === 'missed' || name === 'evicted') arrived()
      }
    } catch {
      if (stream.signal.aborted) continue
    }
    lose()
    await new Promise(done => setTimeout(done, Math.min(500 * 1.5 ** tries, 5000)))
  }
}

/** Asks which server this is. */
async function identify() {
  /** @type {Server} */
  const server = await json('/server')
  const earlier = connection.get().server
  if (earlier && earlier.started_at !== server.started_at) {
    const had = before ? ` The one before had accepted ${counted(before.messages, 'message')}, which are gone.` : ''
    notice.set(`The server was restarted: all figures begin anew.${had}`)
    before = null
    lostAt = null
    update({ server, figures: null, history: [] })
    arrived()
  } else {
    update(earlier ? { server } : { server, history: restored(server) })
  }
}

// A page that is loaded again in this tab shows what was before.
addEventListener('pagehide', () => {
  const { server, history } = connection.get()
  try {
    sessionStorage.setItem(STORED, JSON.stringify({ server: server?.started_at, history }))
  } catch {
    // There is no room for it.
  }
})

/**
 * The last seconds that this tab has seen of this server.
 * @param {Server} server
 * @returns {Figures[]}
 */
function restored({ started_at: startedAt }) {
  const stored = JSON.parse(sessionStorage.getItem(STORED) ?? '{}')
  return startedAt !== null && stored.server === startedAt ? stored.history : []
}

function lose() {
  const { state, figures } = connection.get()
  if (state === 'lost') return
  if (state === 'live') {
    lostAt = Date.now()
    before = figures
  }
  update({ state: 'lost' })
}

/**
 * The figures of a second.
 * @param {Figures} figures
 */
function tick(figures) {
  const { history, figures: last } = connection.get()
  if (lostAt !== null && before !== null) {
    const missed = Math.max(0, figures.messages - before.messages)
    notice.set(`Connected again after ${duration((Date.now() - lostAt) / 1000)}: ${counted(missed, 'message')} arrived meanwhile.`)
    lostAt = null
  }
  update({ figures, history: [...history.slice(1 - HISTORY), figures] })
  if (figures.retained !== last?.retained || figures.messages_per_second > 0) arrived()
  const isMuch = figures.messages_per_second > (isSampling ? FEW : MANY)
  if (isMuch !== isSampling) {
    isSampling = isMuch
    stream.abort()
  }
}

/** Asks again which server this is, after it was changed. */
export async function refreshServer() {
  update({ server: await json('/server') })
}
