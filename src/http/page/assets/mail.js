// The view of mails: a list that grows as they arrive, and one of them.

import { ApiError, change, query } from './api.js'
import { confirm } from './dialog.js'
import { announce, element, replace, save, setText } from './dom.js'
import { firstMail } from './first.js'
import { counted, number, rate } from './format.js'
import { List } from './list.js'
import { connection, isSampling, notice, onArrival, onRemoval } from './live.js'
import { message } from './message.js'
import { Messages } from './messages.js'
import { searchField } from './search.js'

/** @typedef {import('../types').Filter} Filter */

const messages = new Messages()
const list = new List(messages, id => `#/mail/${encodeURIComponent(id)}${filterText()}`)
const { field, help } = searchField(text => choose({ query: text }))
const inbox = element('select', { 'aria-label': 'Inbox', onchange: () => choose({ inbox: inbox.value }) })
const accepted = element('select', { 'aria-label': 'Which mails', onchange: () => choose({ accepted: accepted.value }) },
  [['', 'accepted'], ['false', 'refused'], ['any', 'all']].map(([value, name]) => element('option', { value }, name)))
const status = element('p', { class: 'soft status' })
const note = element('p', { class: 'soft' })
const error = element('p', { class: 'bad', id: 'search-error' })
const take = element('button', { type: 'button', class: 'small', onclick: takeAll, title: 'Saves these messages as a file, and deletes them, in one step' }, 'Take')
const remove = element('button', { type: 'button', class: 'small danger', onclick: deleteAll }, 'Delete all')
const detail = element('div', { class: 'detail' })
const side = element('section', { class: 'side', 'aria-label': 'List of messages' }, element('h1', { class: 'offscreen' }, 'Mail'),
  element('div', { class: 'tools' }, element('div', { class: 'searching' }, field, help), error,
    element('div', { class: 'buttons' }, inbox, accepted), element('div', { class: 'buttons' }, status, take, remove), note),
  list.element)

/** @type {string} */
let open = ''
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
onRemoval(ids => messages.forget(ids))
messages.changes.watch(draw)
connection.watch(draw)
document.addEventListener('keydown', press)

/** The filter as parameters of an address. */
function filterText() {
  return query(/** @type {any} */ (messages.filter))
}

/** @param {Partial<Filter>} filter */
function choose(filter) {
  location.hash = `#/mail${query({ ...messages.filter, ...filter })}`
}

/** @param {string} id */
async function show(id) {
  mailView.element.classList.toggle('reading', id !== '')
  if (id === open && id !== '') return
  open = id
  list.select(id)
  resting = ''
  if (id === '') {
    draw()
    return
  }
  try {
    const made = await message(id, { onDelete: deleteOne, back: `#/mail${filterText()}` })
    if (open === id) replace(detail, made)
  } catch (problem) {
    if (open !== id) return
    const isGone = problem instanceof ApiError && problem.status === 404
    if (isGone) messages.forget([id])
    replace(detail, element('div', { class: 'empty' },
      element('h1', null, isGone ? 'This message is gone' : 'The message can’t be shown'),
      element('p', null, isGone ? 'It was deleted, taken by a test, or evicted as there are too many.' : String(problem)),
      element('p', null, element('a', { href: `#/mail${filterText()}` }, 'All messages'))))
  }
}

function draw() {
  const { figures, server, state } = connection.get()
  for (const row of messages.rows.slice(0, 200)) row.inboxes.forEach(name => inboxes.add(name))
  offer(messages.filter.inbox)
  setText(error, messages.error ?? '')
  field.setAttribute('aria-invalid', String(messages.error !== null))
  const perSecond = figures?.messages_per_second ?? 0
  const parts = [messages.isLoaded ? counted(messages.total, 'message') : 'Loading…']
  if (messages.evicted > 0) parts.push(`${number(messages.evicted)} older ones evicted`)
  setText(note, state === 'live' && isSampling ? `${rate(perSecond)} a second arrive: the list shows samples, counts are exact.` : '')
  setText(status, parts.join(', '))
  const hasAny = messages.total > 0
  take.disabled = remove.disabled = !hasAny
  const isFiltered = Object.values(messages.filter).some(value => value !== '')
  setText(remove, isFiltered ? 'Delete these' : 'Delete all')
  if (open !== '' || !messages.isLoaded) return
  const isFirst = !hasAny && !isFiltered
  // The examples would be on a phone what is below an empty list.
  mailView.element.classList.toggle('without', isFirst)
  const next = isFirst ? `first ${server?.paused}` : hasAny ? 'choose' : 'none'
  if (next === resting || (isFirst && !server)) return
  resting = next
  replace(detail, isFirst && server ? firstMail(server) : element('div', { class: 'empty' },
    element('p', { class: 'soft' }, hasAny ? 'Choose a message.' : 'No message matches. Those that do will appear here as they arrive.')))
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
  try {
    await change('DELETE', `/messages/${encodeURIComponent(id)}`)
  } catch (problem) {
    if (!(problem instanceof ApiError && problem.status === 404)) throw problem
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
  const by = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key]
  if (by !== undefined && !(event.target instanceof Element && event.target.closest('.panel'))) {
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
