// The view of the server's behaviour: rules, settings, and how to start the same again.

import { ApiError, change, json } from './api.js'
import { copyButton, element, replace, setText } from './dom.js'
import { urlOf } from './first.js'
import { fullTime, quoted } from './format.js'
import { connection, refreshServer } from './live.js'
import * as rules from './rules.js'

/** @typedef {import('../types').Server} Server */
/** @typedef {import('../types').Settings} Settings */

/** Milliseconds between two looks at the settings: other clients change them too. */
const EVERY = 2000

/** @type {Settings} */
let settings = {}
let isShown = false
let timer = 0
/** The rows of the settings, by name. */
/** @type {Map<string, ReturnType<typeof row>>} */
const made = new Map()

const search = element('input', { type: 'search', 'aria-label': 'Find a setting', placeholder: 'Find a setting: timeout, delay, msg_…', oninput: drawSettings })
const rows = element('tbody')
const facts = element('dl', { class: 'facts' })
const command = element('pre', { class: 'wrapped', tabindex: '0', 'aria-label': 'The command line' })

/** @type {import('../types').View} */
export const behaviourView = {
  element: element('div', { class: 'page' }, element('h1', null, 'How the server behaves'), rules.rulesCard,
    element('section', { class: 'card' }, element('h2', null, 'The same again ', copyButton(() => command.textContent ?? '', 'Copy the command line')), command,
      element('p', { class: 'soft' }, 'With the settings, lists and rules as they are now. In the place of a secret stands <redacted>.'), rules.expiring, facts),
    element('section', { class: 'card' }, element('h2', null, 'Settings'),
      element('p', { class: 'soft' }, 'Those that can change while it runs, in JSON, a text without quotes too; null is the default. A change is in force for all shards when it is shown here.'), search,
      element('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Settings' }, element('table', { class: 'settings stacked' },
        element('thead', null, element('tr', null, element('th', { scope: 'col', class: 'words' }, 'setting'), element('th', { scope: 'col', class: 'words' }, 'value'))), rows)))),
  title: 'Behaviour',
  show() {
    isShown = true
    rules.show()
    void load()
    refreshServer().catch(() => {})
  },
  hide() {
    isShown = false
    clearTimeout(timer)
    rules.hide()
  },
}

connection.watch(({ server }) => drawServer(server))
document.addEventListener('visibilitychange', () => { if (isShown && !document.hidden) void load() })

async function load() {
  clearTimeout(timer)
  if (!isShown || document.hidden) return
  try {
    const before = JSON.stringify(settings)
    settings = await json('/settings')
    if (JSON.stringify(settings) !== before) {
      drawSettings()
      if (before !== '{}') await refreshServer()
    }
  } catch {
    // The state of the connection is shown elsewhere.
  }
  clearTimeout(timer)
  timer = setTimeout(load, EVERY)
}

/** @param {Server | null} server */
function drawServer(server) {
  if (!server) return
  setText(command, server.command.map(quoted).join(' \\\n  '))
  /** @type {[string, string][]} */
  const all = [
    ['Version', server.version], ['Started', server.started_at ? fullTime(server.started_at) : '–'], ['Seed', server.seed],
    ['Listens', server.listeners.map(urlOf).join(', ')],
  ]
  replace(facts, all.map(([name, value]) => element('div', null, element('dt', null, name), element('dd', null, value))))
}

function drawSettings() {
  const words = search.value.toLowerCase().replaceAll('-', '_').split(/\s+/)
  for (const [name, value] of Object.entries(settings)) {
    // Rules have a place of their own.
    if (name === 'rule') continue
    let own = made.get(name)
    if (!own) {
      own = row(name)
      made.set(name, own)
      rows.append(own.element)
    }
    own.element.hidden = !words.every(word => name.includes(word))
    own.set(JSON.stringify(value))
  }
}

/** @param {string} name */
function row(name) {
  const error = element('div', { class: 'fault', role: 'alert', id: `fault-${name}` })
  const field = element('input', { type: 'text', class: 'code', 'aria-label': name, 'aria-describedby': error.id, spellcheck: 'false', autocomplete: 'off' })
  let shown = ''
  /** @param {string} text What is in force; an edit that is not sent stays. */
  const set = text => {
    if (field.value === shown) field.value = text
    shown = text
  }
  field.addEventListener('change', async () => {
    try {
      settings = await change('PATCH', '/settings', { [name]: parsed(field.value) })
      field.value = shown
      replace(error)
      field.removeAttribute('aria-invalid')
      drawSettings()
      await refreshServer()
    } catch (problem) {
      field.setAttribute('aria-invalid', 'true')
      replace(error, element('p', null, `${name} is unchanged; expected ${problem instanceof ApiError ? problem.message : 'a value in JSON'}`))
    }
  })
  return { element: element('tr', null, element('th', { scope: 'row', class: 'words' }, element('code', null, name)), element('td', { class: 'words wrap' }, field, error)), set }
}

/**
 * A value as it was typed: JSON, or a text without its quotes.
 * @param {string} text
 * @returns {unknown}
 */
function parsed(text) {
  if (/^\s*[[{"]/.test(text)) return JSON.parse(text)
  try {
    return JSON.parse(text)
  } catch {
    return text.trim()
  }
}
