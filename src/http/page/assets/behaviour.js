// The view of the server's behaviour: rules, settings, and how to start the same again.

import { ApiError, change, json } from './api.js'
import { copyButton, element, replace, setText } from './dom.js'
import { fullTime, quoted } from './format.js'
import { connection, refreshServer } from './live.js'
import * as rules from './rules.js'

/** @typedef {import('../types').Server} Server */
/** @typedef {import('../types').Settings} Settings */

/** @type {Settings} */
let settings = {}

const search = element('input', { type: 'search', 'aria-label': 'Find a setting', placeholder: 'Find a setting: timeout, delay, msg_…', oninput: drawSettings })
const rows = element('tbody')
const facts = element('dl', { class: 'facts' })
const command = element('pre', { class: 'wrapped', tabindex: '0', 'aria-label': 'The command line' })
const error = element('div', { class: 'fault', role: 'alert' })

/** @type {import('../types').View} */
export const behaviourView = {
  element: element('div', { class: 'page' }, element('h1', null, 'How the server behaves'), rules.rulesCard,
    element('section', { class: 'card' }, element('h2', null, 'The same again ', copyButton(() => command.textContent ?? '', 'Copy the command line')), command,
      element('p', { class: 'soft' }, 'With the settings, lists and rules as they are now. In the place of a secret stands <redacted>.'), facts),
    element('section', { class: 'card' }, element('h2', null, 'Settings'),
      element('p', { class: 'soft' }, 'Those that can change while it runs, in JSON; null is the default. A change is in force for all shards when it is shown here.'), search, error,
      element('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Settings' }, element('table', { class: 'settings stacked' },
        element('thead', null, element('tr', null, element('th', { scope: 'col', class: 'words' }, 'setting'), element('th', { scope: 'col', class: 'words' }, 'value'))), rows)))),
  title: 'Behaviour',
  show() {
    rules.show()
    void load()
  },
  hide() {
    rules.hide()
  },
}

connection.watch(({ server }) => drawServer(server))

async function load() {
  settings = await json('/settings')
  drawSettings()
  await refreshServer()
}

/** @param {Server | null} server */
function drawServer(server) {
  if (!server) return
  setText(command, server.command.map(quoted).join(' \\\n  '))
  /** @type {[string, string][]} */
  const all = [
    ['Version', server.version], ['Started', server.started_at ? fullTime(server.started_at) : '–'], ['Seed', server.seed],
    ['Listens', server.listeners.map(one => `${one.protocol}${one.encrypted ? 's' : ''}://${one.address}`).join(', ')],
  ]
  replace(facts, all.map(([name, value]) => element('div', null, element('dt', null, name), element('dd', null, value))))
}

function drawSettings() {
  const words = search.value.toLowerCase().replaceAll('-', '_').split(/\s+/)
  // Rules have a place of their own.
  const found = Object.entries(settings).filter(([name]) => name !== 'rule' && words.every(word => name.includes(word)))
  replace(rows, found.map(([name, value]) => row(name, value)))
}

/**
 * @param {string} name
 * @param {unknown} value
 */
function row(name, value) {
  const field = element('input', { type: 'text', class: 'code', 'aria-label': name, value: JSON.stringify(value), spellcheck: 'false', autocomplete: 'off' })
  field.addEventListener('change', async () => {
    try {
      settings = await change('PATCH', '/settings', { [name]: JSON.parse(field.value) })
      replace(error)
      field.value = JSON.stringify(settings[name])
      field.removeAttribute('aria-invalid')
      await refreshServer()
    } catch (problem) {
      field.setAttribute('aria-invalid', 'true')
      const text = problem instanceof ApiError ? problem.message : 'a value in JSON: a text has quotes, like "5s"'
      replace(error, element('p', null, `${name} is unchanged; expected ${text}`))
    }
  })
  return element('tr', null, element('th', { scope: 'row', class: 'words' }, element('code', null, name)), element('td', { class: 'words' }, field))
}
