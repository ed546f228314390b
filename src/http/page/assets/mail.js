// The view of mails: a list that grows as they arrive, and one of them.

import { ApiError, change, json, query, send } from './api.js'
import { confirm } from './dialog.js'
import { announce, element, replace, save, setText } from './dom.js'
import { firstMail } from './first.js'
import { counted, rate } from './format.js'
import { List } from './list.js'
import { connection, isSampling, notice, onArrival, onRemoval } from './live.js'
import { message } from './message.js'
import { Messages } from './messages.js'
import { searchField } from './search.js'

/** @typedef {import('../types').Filter} Filter */

const messages = new Messages()
const list = new List(messages, id => `#/mail/${encodeURIComponent(id)}${filterText()}`)
const { field, help } = searchField(text => choose({ query: text }, open === '' && messages.filter.query !== ''))
const inbox = element('select', { 'aria-label': 'Inbox', onchange: () => choose({ inbox: inbox.value }) })
const accepted = element('select', { 'aria-label': 'Which mails', onchange: () => choose({ accepted: accepted.value }) },
  [['', 'accepted'], ['false', 'refused'], ['any', 'all']].map(([value, name]) => element('option', { value }, name)))
const status = element('p', { class: 'soft status' })
const lost = element('p', { class: 'soft' })
const note = element('p', { class: 'soft' })
const error = element('p', { class: 'bad', id: 'search-error' })
const take = element('button', { type: 'button', class: 'small', onclick: takeAll, title: 'Saves these messages as a file, and deletes them, in one step' }, 'Take')
const remove = element('button', { type: 'button', class: 'small danger', onclick: deleteAll }, 'Delete all')
const detail = element('div', { class: 'detail', tabindex: '-1' })
const goneNote = element('p', { class: 'warning gone', role: 'status' }, 'This message is no longer on the server: it was deleted, taken by a test, evicted as there are too many, or the server was restarted.')
const refusedNote = element('p', { class: 'warning', hidden: true })
const side = element('section', { class: 'side', 'aria-label': 'List of messages' }, element('h1', { class: 'offscreen' }, 'Mail'),
  element('div', { class: 'tools' }, element('div', { class: 'searching' }, field, help), error,
    element('div', { class: 'buttons' }, inbox, accepted), element('div', { class: 'buttons' }, status, take, remove), lost, note),
  list.element)

/** @type {string} */
let open = ''
/** Whether the open one could not be shown: it is tried again. */
let isFailed = false
/** When it was last asked whether the open one is still there, in milliseconds; what was known of the list then. */
let lookedAt = 0
let [known, total] = ['', 0]
/** The one that is being deleted here. */
let deleting = ''
/** Inboxes of the messages that were seen. */
const inboxes = new Set()
/** What the right side shows while no message is open. */
let resting = ''

/** @type {import('../types').View} */
export const mailView = {
  element: element('div', { class: 'mail' }, side, detail),
  title: 'Mail',
  show(segments, parameters) {
    const filter = { query: parameters.get('query') ?? '', inbox: parameters.get('inbox') ?? '', accepted: parameters.get('accepted') ?? '' }
    const isOther = JSON.stringify(filter) !== JSON.stringify(messages.filter)
    if (isOther || !messages.isLoaded) void messages.select(filter)
    if (document.activeElement !== field) field.value = filter.query
    offer(filter.inbox)
    inbox.value = filter.inbox
    accepted.value = filter.accepted
    void show(segments[0] ?? '')
  },
  hide() {},
}

onArrival(() => messages.stir())
onRemoval(ids => {
  messages.forget(ids)
  if (ids.includes(open)) void checkOpen()
})
messages.changes.watch(draw)
connection.watch(draw)
messages.changes.watch(watchOpen)
connection.watch(watchOpen)
document.addEventListener('keydown', press)

/** The filter as parameters of an address. */
function filterText() {
  return query(/** @type {any} */ (messages.filter))
}

/**
 * @param {Partial<Filter>} filter
 * @param {boolean} isSame Whether it goes on with the last one: Back leads to what was before both.
 */
function choose(filter, isSame = false) {
  const hash = `#/mail${query({ ...messages.filter, ...filter })}`
  if (isSame) location.replace(hash)
  else location.hash = hash
}

/** @param {string} id */
async function show(id) {
  mailView.element.classList.toggle('reading', id !== '')
  if (id === open && id !== '') return
  open = id
  list.select(id)
  resting = ''
  if (id === '') draw()
  else await load(id)
}

/** @param {string} id */
async function load(id) {
  isFailed = false
  try {
    const made = await message(id, { onDelete: deleteOne, back: `#/mail${filterText()}` })
    if (open === id) place(made)
  } catch (problem) {
    if (open !== id) return
    const isGone = problem instanceof ApiError && problem.status === 404
    isFailed = !isGone
    if (isGone) messages.forget([id])
    place(element('div', { class: 'empty' },
      element('h1', null, isGone ? 'This message is gone' : 'The message can’t be shown'),
      element('p', null, isGone ? 'It was deleted, taken by a test, or evicted as there are too many.' : String(problem)),
      !isGone && element('p', null, element('button', { type: 'button', onclick: () => void load(id) }, 'Try again')),
      element('p', null, element('a', { href: `#/mail${filterText()}` }, 'All messages'))))
  }
}

/**
 * Shows this on the right side, from its beginning; the focus stays there.
 * @param {HTMLElement} made
 */
function place(made) {
  const isFocused = detail.contains(document.activeElement)
  replace(detail, made)
  detail.scrollTop = 0
  if (isFocused) detail.focus({ preventScroll: true })
}

/** Looks after the open message when some may have gone, and after the connection was lost. */
function watchOpen() {
  const { state, server } = connection.get()
  const now = `${state} ${server?.started_at} ${messages.evicted}`
  const isSame = now === known && messages.total >= total
  if (isSame) total = messages.total
  if (open === '' || state !== 'live' || isSame || Date.now() - lookedAt < 1000) return
  lookedAt = Date.now()
  ;[known, total] = [now, messages.total]
  if (isFailed) void load(open)
  else void checkOpen()
}

/** Says so where the open message is no longer on the server. */
async function checkOpen() {
  const id = open
  if (id === '' || id === deleting || goneNote.isConnected) return
  try {
    await send(`/messages/${encodeURIComponent(id)}`, { method: 'HEAD' })
  } catch (problem) {
    if (!(problem instanceof ApiError && problem.status === 404) || open !== id || detail.querySelector('.message') === null) return
    messages.forget([id])
    detail.prepend(goneNote)
  }
}

function draw() {
  const { figures, server, state } = connection.get()
  for (const row of messages.rows.slice(0, 200)) row.inboxes.forEach(name => inboxes.add(name))
  offer(messages.filter.inbox)
  const isFiltered = Object.values(messages.filter).some(value => value !== '')
  setText(error, messages.error ?? '')
  field.setAttribute('aria-invalid', String(messages.error !== null))
  const perSecond = figures?.messages_per_second ?? 0
  // They are of all records, not of those that are selected.
  setText(lost, messages.evicted > 0 && !isFiltered ? `${counted(messages.evicted, 'older record')} evicted` : '')
  setText(note, state === 'live' && isSampling ? `${rate(perSecond)} a second: the list shows samples, counts are exact.` : '')
  setText(status, messages.error ? 'What was found before:' : messages.isLoaded ? counted(messages.total, 'message') : 'Loading…')
  const hasAny = messages.total > 0
  take.disabled = remove.disabled = !hasAny || messages.error !== null
  setText(remove, isFiltered ? 'Delete these' : 'Delete all')
  if (open !== '' || !messages.isLoaded) return
  const isFirst = !hasAny && !isFiltered
  // The examples would be on a phone what is below an empty list.
  mailView.element.classList.toggle('without', isFirst)
  if (isFirst) drawRefused(figures?.retained ?? 0)
  const next = isFirst ? `first ${server?.paused} ${server?.started_at}` : hasAny ? 'choose' : 'none'
  if (next === resting || (isFirst && !server)) return
  resting = next
  if (isFirst && server) void showFirst(server)
  else place(element('div', { class: 'empty' },
    element('p', { class: 'soft' }, hasAny ? 'Choose a message.' : 'No message matches. Those that do will appear here as they arrive.')))
}

/** @param {import('../types').Server} server */
async function showFirst(server) {
  const now = resting
  const settings = await json('/settings').catch(() => ({}))
  if (resting === now && open === '') place(firstMail(server, settings, refusedNote))
}

/**
 * Where no mail was accepted, all records are of others.
 * @param {number} count
 */
function drawRefused(count) {
  refusedNote.hidden = count === 0
  const text = `${counted(count, 'mail')} ${count === 1 ? 'was' : 'were'} refused or abandoned: `
  if (refusedNote.firstChild?.textContent !== text) replace(refusedNote, text, element('a', { href: '#/mail?accepted=false' }, 'show'))
}

/**
 * Offers the inboxes of messages, and the chosen one.
 * @param {string} chosen
 */
function offer(chosen) {
  const names = [...new Set([...inboxes, chosen].filter(Boolean))].sort().slice(0, 500)
  if (inbox.options.length === names.length + 1) return
  const value = inbox.value
  replace(inbox, element('option', { value: '' }, 'every inbox'), names.map(name => element('option', { value: name }, name)))
  inbox.value = chosen || value
}

/** @param {string} id */
async function deleteOne(id) {
  const next = list.step(1) ?? list.step(-1)
  deleting = id
  try {
    await change('DELETE', `/messages/${encodeURIComponent(id)}`)
  } catch (problem) {
    if (!(problem instanceof ApiError && problem.status === 404)) throw problem
  } finally {
    deleting = ''
  }
  messages.forget([id])
  announce('Deleted')
  location.hash = next ? `#/mail/${encodeURIComponent(next)}${filterText()}` : `#/mail${filterText()}`
}

async function deleteAll() {
  const which = `${counted(messages.total, 'message')}${Object.values(messages.filter).some(Boolean) ? ' that this filter selects' : ''}`
  if (!await confirm(`Delete ${which}?`, 'Tests that wait for them will not find them.', 'Delete')) return
  const { deleted } = await change('DELETE', `/messages${filterText()}`)
  notice.set(`${counted(deleted, 'message')} deleted.`)
  location.hash = `#/mail${filterText()}`
  messages.release()
}

/** Takes what is selected: each message is in the file, or still there. */
async function takeAll() {
  const which = counted(messages.total, 'message')
  if (!await confirm(`Take ${which}?`, 'They are saved as a file of JSON, and deleted, in one step: another test that takes them gets none of them.', 'Take')) return
  const taken = []
  for (let rest = 1; rest > 0;) {
    const { messages: some, remaining } = await change('DELETE', `/messages${query({ .../** @type {any} */ (messages.filter), return: true, raw: true, limit: 500 })}`)
    taken.push(...some)
    rest = some.length > 0 ? remaining : 0
  }
  save(new Blob([JSON.stringify(taken, null, 2)], { type: 'application/json' }), 'messages.json')
  notice.set(`${counted(taken.length, 'message')} taken.`)
  location.hash = `#/mail${filterText()}`
  messages.release()
}

/** @param {KeyboardEvent} event */
function press(event) {
  const isTyping = event.target instanceof Element && event.target.closest('input, textarea, select, dialog')
  if (isTyping || !mailView.element.isConnected || event.ctrlKey || event.metaKey || event.altKey) return
  const letter = { j: 1, k: -1 }[event.key.toLowerCase()]
  // Arrows scroll what has the focus.
  const arrow = event.target instanceof Element && event.target.closest('.detail') ? undefined : { ArrowDown: 1, ArrowUp: -1 }[event.key]
  const by = letter ?? arrow
  if (by !== undefined) {
    const id = list.step(by)
    if (id) location.hash = `#/mail/${encodeURIComponent(id)}${filterText()}`
  } else if (event.key === '/') {
    field.focus()
  } else if (event.key === 'Delete' && open) {
    void deleteOne(open)
  } else if (event.key === 'Escape' && open) {
    location.hash = `#/mail${filterText()}`
  } else {
    return
  }
  event.preventDefault()
}
