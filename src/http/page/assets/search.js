// The field of the search, and help with its terms.

import { element } from './dom.js'

/** @type {[string, string][]} */
const TERMS = [
  ['welcome', 'a word of subject, text, or addresses'],
  ['"your code"', 'a phrase'],
  ['-draft', 'without this word; works in front of every term'],
  ['from: to: cc: bcc: addressed:', 'a header field with addresses; addressed: any of them'],
  ['subject: message-id: header:X-Id=7', 'a header field'],
  ['mail-from: rcpt-to:', 'the envelope'],
  ['param:BODY=8BITMIME', 'a parameter of MAIL or RCPT'],
  ['has:attachment has:inline', 'files'],
  ['larger:1.5m smaller:10k', 'the size'],
  ['after:2026-11-27 before:', 'when it arrived'],
  ['inbox: user: tls:yes', 'inbox, user of AUTH, encryption'],
  ['session: peer: helo: protocol:lmtp id:', 'the session'],
]

/**
 * @param {(text: string) => void} changed
 */
export function searchField(changed) {
  const field = element('input', {
    type: 'search', id: 'search', placeholder: 'Search: to:bob subject:welcome', autocomplete: 'off', spellcheck: 'false',
    'aria-label': 'Search messages', 'aria-describedby': 'search-error',
  })
  let timer = 0
  field.addEventListener('input', () => {
    clearTimeout(timer)
    timer = setTimeout(() => changed(field.value.trim()), 200)
  })
  const add = (/** @type {string} */ term) => {
    field.value = `${field.value.trim()} ${term}`.trim()
    field.focus()
    if (!term.endsWith(':')) changed(field.value)
  }
  const rows = TERMS.map(([terms, meaning]) => element('div', { class: 'term' },
    element('dt', null, terms.split(/ (?!code)/).map(term =>
      element('button', { type: 'button', class: 'code', onclick: () => add(term) }, term))),
    element('dd', null, meaning)))
  const help = element('details', { class: 'help' },
    element('summary', { 'aria-label': 'Help with search', title: 'Help with search' }, '?'),
    element('div', { class: 'popover' },
      element('p', null, 'All terms must match. Select one to add it.'), element('dl', null, rows),
      element('p', { class: 'soft' }, 'Keys: ', keys('/'), ' search, ', keys('J'), ' ', keys('K'), ' next and previous, ', keys('Del'), ' delete.')))
  help.addEventListener('keydown', event => {
    if (event.key !== 'Escape') return
    help.open = false
    field.focus()
  })
  document.addEventListener('click', event => {
    if (event.target instanceof Node && !help.contains(event.target)) help.open = false
  })
  return { field, help }
}

/** @param {string} name */
function keys(name) {
  return element('kbd', null, name)
}
