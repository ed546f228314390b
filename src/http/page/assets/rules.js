// The rules of the running server: their counts, and their text, which is edited and applied.

import { ApiError, change, json, query } from './api.js'
import { confirm } from './dialog.js'
import { announce, copyButton, element, replace, setText } from './dom.js'
import { counted, duration, number, seconds } from './format.js'
import { brief, connection, refreshServer } from './live.js'

/** @typedef {import('../types').Rule} Rule */

/** Milliseconds between two looks at the counts. */
const EVERY = 1000

/** @type {[string, string][]} */
const EXAMPLES = [
  ['rcpt to=full@* reply="452 4.2.2 Mailbox full"', 'refuse a recipient'],
  ['message every=10 delay=2s', 'a late reply to every tenth message'],
  ['any odds=5% delay=lognormal(p50=80ms,p99=2s)', 'one reply in twenty is late'],
  ['rcpt per=sender+recipient+ip times=1 reply="451 4.7.1 Try again"', 'greylisting'],
  ['data odds=1% drop=rst', 'a reset now and then'],
]

/** @type {Rule[]} */
let rules = []
/** When they were read, in milliseconds. */
let readAt = 0
/** The text of the server when editing began. */
let original = ''
let isShown = false
let timer = 0

const rows = element('tbody')
const count = element('p', { class: 'soft' })
const editor = element('textarea', {
  id: 'rules', class: 'code', rows: 8, spellcheck: 'false', autocapitalize: 'off', wrap: 'off', 'aria-describedby': 'rules-error', oninput: edited,
})
const error = element('div', { id: 'rules-error', class: 'fault', role: 'alert' })
const apply = element('button', { type: 'button', class: 'primary', onclick: applyText }, 'Apply')
const revert = element('button', { type: 'button', onclick: () => setEditor(true) }, 'Revert')
const changed = element('p', { class: 'warning', hidden: true }, 'The rules were changed by another client since: applying replaces those.')

const added = element('input', { type: 'text', id: 'added', class: 'code', placeholder: EXAMPLES[0][0], spellcheck: 'false', autocomplete: 'off', 'aria-describedby': 'added-error', oninput: () => replace(addedError) })
const ttl = element('input', { type: 'text', id: 'ttl', placeholder: 'stays', autocomplete: 'off', size: 8 })
const first = element('input', { type: 'checkbox', id: 'first' })
const addedError = element('div', { id: 'added-error', class: 'fault', role: 'alert' })

/** For the command line: it has no times of rules. */
export const expiring = element('p', { class: 'soft', hidden: true }, 'A rule that expires here is there as one that stays.')

export const rulesCard = element('section', { class: 'card' },
  element('h2', null, 'Rules'), count,
  element('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Rules with their counts' }, element('table', { class: 'stacked' },
    element('thead', null, element('tr', null, ['rule', 'reached', 'fired', 'expires in', ''].map((head, index) =>
      element('th', { scope: 'col', class: index === 0 && 'words' }, head || element('span', { class: 'offscreen' }, 'remove'))))), rows)),
  element('form', { class: 'adding', onsubmit: add },
    element('div', { class: 'grow' }, element('label', { for: 'added' }, 'Add a rule'), added),
    element('div', null, element('label', { for: 'ttl' }, 'for, like 30s'), ttl),
    element('label', { class: 'check' }, first, 'in front of the others'),
    element('button', { type: 'submit' }, 'Add')), addedError,
  element('details', null, element('summary', null, 'Examples'), element('ul', { class: 'plain' }, EXAMPLES.map(([rule, meaning]) =>
    element('li', null, element('button', { type: 'button', class: 'code', onclick: () => { added.value = rule; added.focus() } }, rule), element('span', { class: 'soft' }, ` ${meaning}`))))),
  element('details', { class: 'edit' }, element('summary', null, 'Edit all as text'),
    element('label', { for: 'rules' }, 'One rule in each line, in the order of evaluation: the first that fires decides'), editor, error, changed,
    element('div', { class: 'buttons' }, apply, revert, copyButton(() => editor.value, 'Copy the rules'))))

export function show() {
  isShown = true
  void look()
}

export function hide() {
  isShown = false
  clearTimeout(timer)
}

document.addEventListener('visibilitychange', () => { if (isShown && !document.hidden) void look() })

async function look() {
  clearTimeout(timer)
  if (!isShown || document.hidden) return
  try {
    update((await json('/rules')).rules)
  } catch {
    // The state of the connection is shown elsewhere.
  }
  clearTimeout(timer)
  timer = setTimeout(look, EVERY)
}

/** @param {Rule[]} next */
function update(next) {
  // They are part of the command line.
  if (textOf(next) !== textOf(rules)) refreshServer().catch(() => {})
  rules = next
  readAt = Date.now()
  const now = textOf(rules)
  if (editor.value === original || (original === '' && editor.value === '')) setEditor(false)
  changed.hidden = original === now || editor.value === original
  draw()
}

/** @param {Rule[]} all */
function textOf(all) {
  return all.map(({ rule }) => rule).join('\n')
}

/** @param {boolean} isAsked */
function setEditor(isAsked) {
  const text = textOf(rules)
  original = text
  if (editor.value !== text) editor.value = text
  editor.rows = Math.min(24, Math.max(6, rules.length + 2))
  changed.hidden = true
  if (isAsked) fault(null)
  edited()
}

function edited() {
  apply.disabled = revert.disabled = editor.value === original
}

/** The elements of a row, by the text of its rule and its place. */
/** @type {Map<string, { row: HTMLElement, reached: HTMLElement, fired: HTMLElement, left: HTMLElement, text: string }>} */
const drawn = new Map()

function draw() {
  setText(count, rules.length === 0 ? 'None: every mail is accepted at once, as far as lists and limits allow.' : `${number(rules.length)}, in the order of evaluation. Counts are those of this moment.`)
  expiring.hidden = rules.every(rule => !rule.expires_in)
  const keys = rules.map(({ rule }, index) => `${rules.slice(0, index).filter(other => other.rule === rule).length} ${rule}`)
  for (const [key, { row }] of drawn) {
    if (keys.includes(key)) continue
    row.remove()
    drawn.delete(key)
  }
  rules.forEach((rule, index) => {
    const own = drawn.get(keys[index]) ?? made(rule)
    drawn.set(keys[index], own)
    setText(own.reached, number(rule.reached))
    if (own.fired.textContent !== number(rule.fired)) {
      setText(own.fired, number(rule.fired))
      own.row.classList.remove('fired')
      requestAnimationFrame(() => own.row.classList.toggle('fired', rule.fired > 0))
    }
    setText(own.left, rule.expires_in ? duration(Math.max(0, seconds(rule.expires_in) - (Date.now() - readAt) / 1000)) : '')
    if (rows.children[index] !== own.row) rows.insertBefore(own.row, rows.children[index] ?? null)
  })
}

/** @param {Rule} rule */
function made(rule) {
  const cell = (/** @type {string} */ label) => element('td', { 'data-label': label })
  const [reached, fired, left] = [cell('reached'), cell('fired'), cell('expires in')]
  const remove = element('button', { type: 'button', class: 'small', 'aria-label': `Remove the rule ${rule.rule}`, onclick: () => removeRule(rule.rule, row) }, 'Remove')
  const row = element('tr', null, element('th', { scope: 'row', class: 'words wrap' }, element('code', null, rule.rule)), reached, fired, left, element('td', null, remove))
  return { row, reached, fired, left, text: rule.rule }
}

/**
 * A rule as it is sent: one that expires goes on to expire.
 * @param {Rule} rule
 */
function entry(rule) {
  return rule.expires_in ? { rule: rule.rule, ttl: rule.expires_in } : rule.rule
}

/**
 * @param {string} text
 * @param {HTMLElement} row
 */
async function removeRule(text, row) {
  // Which of those that are equal.
  const own = [...drawn.values()].filter(one => one.text === text).sort((one, other) => [...rows.children].indexOf(one.row) - [...rows.children].indexOf(other.row))
  const nth = own.findIndex(one => one.row === row)
  const { rules: now } = await json('/rules')
  const equal = now.flatMap((/** @type {Rule} */ other, /** @type {number} */ index) => other.rule === text ? [index] : [])
  const at = equal[nth] ?? equal.at(-1)
  if (at === undefined) return
  const rest = now.filter((/** @type {Rule} */ _, /** @type {number} */ index) => index !== at)
  update((await change('PUT', '/rules', { rules: rest.map(entry) })).rules)
  announce('Removed')
}

/** @param {Event} event */
async function add(event) {
  event.preventDefault()
  try {
    await change('POST', `/rules${query({ first: first.checked || null })}`, { rule: added.value, ...(ttl.value.trim() && { ttl: ttl.value.trim() }) })
    replace(addedError)
    added.value = ''
    ttl.value = ''
    announce('Added')
    await look()
  } catch (problem) {
    replace(addedError, element('pre', { tabindex: '0', 'aria-label': 'What is wrong' }, problem instanceof Error ? problem.message : String(problem)))
  }
}

/** Replaces all rules by the text. Lines that were there keep what is left of their time. */
async function applyText() {
  const lines = editor.value.split('\n')
  const places = lines.flatMap((line, index) => (line.trim() === '' || line.trim().startsWith('#') ? [] : [index]))
  if (places.length === 0 && rules.length > 0 && !await confirm('Remove all rules?', 'Every mail is then accepted at once.', 'Remove')) return
  const known = new Map(rules.map(rule => [rule.rule, rule]))
  const next = places.map(index => {
    const line = lines[index].trim()
    const own = known.get(line)
    return own ? entry(own) : line
  })
  try {
    const reply = await change('PUT', '/rules', { rules: next })
    fault(null)
    original = editor.value
    update(reply.rules)
    setEditor(true)
    const comments = lines.some(line => line.trim().startsWith('#')) ? ' Comments are not part of them.' : ''
    if (connection.get().state === 'live') brief(`${counted(next.length, 'rule')} ${next.length === 1 ? 'is' : 'are'} in force, for all sessions with their next command.${comments}`)
  } catch (problem) {
    fault(problem, places)
  }
}

/**
 * Shows what is wrong, and where: its line is selected.
 * @param {unknown} problem
 * @param {number[]} [places]
 */
function fault(problem, places = []) {
  editor.setAttribute('aria-invalid', String(problem !== null))
  if (problem === null) {
    replace(error)
    return
  }
  const at = problem instanceof ApiError ? /^rules\[(\d+)\]/.exec(problem.fault.at) : null
  const line = at ? places[Number(at[1])] : undefined
  const text = problem instanceof Error ? problem.message : String(problem)
  replace(error, element('p', null, line === undefined ? 'Nothing was changed:' : `Nothing was changed. Line ${line + 1}:`), element('pre', { tabindex: '0', 'aria-label': 'What is wrong' }, text))
  if (line === undefined) return
  const start = editor.value.split('\n').slice(0, line).reduce((length, one) => length + one.length + 1, 0)
  const whole = editor.value.split('\n')[line]
  // The marks under the line of the rule are where the fault is.
  const found = /\n {2}(.*)\n {2}( *)(\^+)\s*$/.exec(text)
  const indent = whole.length - whole.trimStart().length
  const from = found ? start + indent + found[2].length : start
  editor.focus()
  editor.setSelectionRange(from, found ? from + found[3].length : start + whole.length)
}
