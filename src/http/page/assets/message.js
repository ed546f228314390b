// One message: what it looks like, what it consists of, and how it came.

import { json, send } from './api.js'
import { copyButton, element, replace, save, visible } from './dom.js'
import { counted, duration, elapsed, fullTime, number, octets } from './format.js'

/** @typedef {import('../types').Address} Address */
/** @typedef {import('../types').Detail} Detail */
/** @typedef {import('../types').Link} Link */
/** @typedef {import('../types').Part} Part */
/** @typedef {import('../types').Turn} Turn */

/** Octets of the source that are shown. */
const SOURCE = 256 << 10
/** Addresses that are shown at once. */
const FEW = 3

/** @typedef {{ name: string, title: string, make: (mail: Detail) => Node | Promise<Node>, has: (mail: Detail) => boolean }} Tab */

/** @type {Tab[]} */
const TABS = [
  { name: 'html', title: 'HTML', make: html, has: mail => mail.html_view !== null },
  { name: 'text', title: 'Text', make: text, has: mail => mail.text !== null },
  { name: 'source', title: 'Source', make: source, has: mail => mail.size > 0 },
  { name: 'headers', title: 'Headers', make: headers, has: mail => mail.headers.length > 0 },
  { name: 'parts', title: 'Parts', make: parts, has: mail => mail.parts.length > 0 },
  { name: 'dialogue', title: 'Dialogue', make: dialogue, has: () => true },
]

/** The tab that was chosen last, where a message has it. */
let chosen = 'html'

/**
 * @param {string} id
 * @param {{ onDelete: (id: string) => void, back: string }} options
 * @returns {Promise<HTMLElement>}
 */
export async function message(id, { onDelete, back }) {
  const path = `/messages/${encodeURIComponent(id)}`
  /** @type {[Detail, { links: Link[] }, { codes: string[] }]} */
  const [mail, { links }, { codes }] = await Promise.all([json(path), json(`${path}/links`), json(`${path}/codes`)])
  const panel = element('div', { class: 'panel', role: 'tabpanel', id: 'panel', tabindex: '0' })
  return element('article', { class: 'message', 'aria-labelledby': 'subject' },
    head(mail, onDelete, back), found(codes, links), tabs(mail, panel), panel)
}

/**
 * @param {Detail} mail
 * @param {(id: string) => void} onDelete
 * @param {string} back
 */
function head(mail, onDelete, back) {
  const download = async () => {
    const response = await send(`/messages/${encodeURIComponent(mail.id)}/raw`)
    save(await response.blob(), `${mail.id}.eml`)
  }
  return element('header', null,
    element('div', { class: 'buttons' },
      element('a', { class: 'button back', href: back }, '← All messages'),
      element('button', { type: 'button', onclick: download }, 'Download'),
      element('button', { type: 'button', class: 'danger', onclick: () => onDelete(mail.id) }, 'Delete')),
    element('h1', { id: 'subject', dir: 'auto' }, mail.subject ? visible(mail.subject) : 'No subject'),
    !mail.accepted && element('p', { class: 'warning' }, 'This mail was refused or abandoned: the dialogue shows where.'),
    facts(mail))
}

/** @param {Detail} mail */
function facts(mail) {
  const at = mail.accepted_at ?? mail.connected_at
  const { from, to, parameters } = mail.envelope
  const given = parameters.map(one => (one.value === null ? one.name : `${one.name}=${one.value}`)).join(' ')
  const session = [`session ${number(mail.session)} from ${mail.peer_addr}`, mail.envelope.helo && `as ${mail.envelope.helo}`,
    mail.user && `user ${mail.user}`, mail.tls ? `${mail.tls.version}, ${mail.tls.cipher_suite}` : 'without TLS']
  /** @type {[string, string | Node | null][]} */
  const all = [
    ['From', addresses(mail.from)],
    ['To', addresses(mail.to)],
    ['Cc', addresses(mail.cc)],
    ['Reply to', addresses(mail.reply_to)],
    ['Envelope', element('span', null, element('bdi', null, visible(from || '<>')), given && ` ${visible(given)}`, ' → ', some(to.map(recipient)))],
    [mail.accepted ? 'Received' : 'Connected', `${fullTime(at)}${mail.size > 0 ? `, ${octets(mail.size)}` : ''}`],
    ['Session', visible(session.filter(Boolean).join(', '))],
    ['Inboxes', mail.inboxes.length > 0 ? visible(mail.inboxes.join(', ')) : null],
  ]
  return element('dl', { class: 'facts' }, all.filter(([, value]) => value !== null).map(([name, value]) =>
    element('div', null, element('dt', null, name), element('dd', null, value))))
}

/** @param {import('../types').Recipient} one */
function recipient(one) {
  return element('bdi', { class: one.accepted ? '' : 'refused', title: visible(one.reply) }, visible(one.address))
}

/** @param {Address[]} all */
function addresses(all) {
  if (all.length === 0) return null
  return some(all.map(({ name, address }) => {
    const shown = visible(address)
    return element('bdi', null, name ? `${visible(name)}${shown && ` <${shown}>`}` : shown || '–')
  }))
}

/**
 * The first ones, and the others on demand.
 * @param {HTMLElement[]} all
 */
function some(all) {
  const listed = (/** @type {HTMLElement[]} */ nodes) => nodes.flatMap((node, index) => [index > 0 && ', ', node])
  if (all.length <= FEW + 1) return element('span', null, listed(all))
  return element('span', null, listed(all.slice(0, FEW)), element('details', { class: 'more' },
    element('summary', null, `and ${number(all.length - FEW)} more`), listed(all.slice(FEW))))
}

/**
 * Codes and links, to copy.
 * @param {string[]} codes
 * @param {Link[]} links
 */
function found(codes, links) {
  if (codes.length === 0 && links.length === 0) return null
  return element('div', { class: 'found' },
    codes.slice(0, 5).map(code => element('span', { class: 'chip' }, element('code', null, visible(code)), copyButton(code, `Copy the code ${code}`))),
    links.length > 0 && element('details', { open: links.length < 4 },
      element('summary', null, counted(links.length, 'link')),
      element('ul', null, links.slice(0, 100).map(link => element('li', null,
        copyButton(link.href, 'Copy this link'), ' ', address(link), link.text && link.text !== link.href && element('span', { class: 'soft' }, ` ${visible(link.text)}`))))))
}

/**
 * A link that opens, where it is one of the web.
 * @param {Link} link
 */
function address({ href }) {
  const isWeb = /^https?:\/\//i.test(href)
  const shown = visible(href)
  return isWeb ? element('a', { href, target: '_blank', rel: 'noreferrer noopener', class: 'link', title: shown }, shown) : element('span', { class: 'link', title: shown }, shown)
}

/**
 * @param {Detail} mail
 * @param {HTMLElement} panel
 */
function tabs(mail, panel) {
  const own = TABS.filter(tab => tab.has(mail))
  const buttons = own.map(tab => element('button', {
    type: 'button', role: 'tab', id: `tab-${tab.name}`, 'aria-controls': 'panel', onclick: () => choose(tab),
  }, tab.title, tab.name === 'parts' && element('span', { class: 'count' }, ` ${number(mail.parts.length)}`)))
  const choose = async (/** @type {Tab} */ tab) => {
    for (const button of buttons) {
      const isOwn = button.id === `tab-${tab.name}`
      button.setAttribute('aria-selected', String(isOwn))
      button.tabIndex = isOwn ? 0 : -1
    }
    panel.setAttribute('aria-labelledby', `tab-${tab.name}`)
    panel.className = `panel ${tab.name}`
    chosen = tab.name
    replace(panel, await tab.make(mail))
  }
  const list = element('div', { class: 'tabs', role: 'tablist', 'aria-label': 'Views of the message' }, buttons)
  list.addEventListener('keydown', event => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key]
    if (by === undefined) return
    const at = buttons.findIndex(button => button === document.activeElement)
    const to = (at + by + buttons.length) % buttons.length
    buttons[to].focus()
    void choose(own[to])
    event.stopPropagation()
  })
  void choose(own.find(tab => tab.name === chosen) ?? own[0])
  return list
}

/**
 * A frame without scripts, forms and an origin; links open in windows of their own.
 * @param {Detail} mail
 */
function html(mail) {
  return element('iframe', {
    src: mail.html_view, title: 'The mail as HTML', sandbox: 'allow-popups allow-popups-to-escape-sandbox', referrerpolicy: 'no-referrer',
  })
}

/** @param {Detail} mail */
function text(mail) {
  return element('pre', { class: 'wrapped', dir: 'auto' }, visible(mail.text ?? ''))
}

/** @param {Detail} mail */
async function source(mail) {
  const response = await send(`/messages/${encodeURIComponent(mail.id)}/raw`)
  const all = await response.arrayBuffer()
  const shown = new TextDecoder().decode(all.slice(0, SOURCE))
  const rest = all.byteLength - SOURCE
  return element('div', null, element('div', { class: 'buttons' }, copyButton(shown, 'Copy the source')),
    element('pre', { tabindex: '0', 'aria-label': 'The source' }, visible(shown)), rest > 0 && element('p', { class: 'soft' }, `and ${octets(rest)} more, in the download`))
}

/** @param {Detail} mail */
function headers(mail) {
  return element('table', null, element('tbody', null, mail.headers.map(({ name, value }) => element('tr', null,
    element('th', { scope: 'row', class: 'words' }, visible(name)), element('td', { class: 'words wrap', dir: 'auto' }, visible(value))))))
}

/** @param {Detail} mail */
function parts(mail) {
  const download = async (/** @type {Part} */ part) => {
    const response = await send(`/messages/${encodeURIComponent(mail.id)}/parts/${part.number}`)
    const content = await response.blob()
    // Not by its own type: nothing that was sent is ever opened as a page.
    save(new Blob([content], { type: 'application/octet-stream' }), part.name ?? `${mail.id}-${part.number}`)
  }
  const rows = mail.parts.map(part => element('tr', null,
    element('td', { class: 'words' }, part.kind),
    element('td', { class: 'words wrap' }, part.name ? visible(part.name) : '–'),
    element('td', { class: 'words' }, visible(part.content_type), part.charset && element('span', { class: 'soft' }, ` ${visible(part.charset)}`)),
    element('td', null, octets(part.size)),
    element('td', null, element('button', { type: 'button', class: 'small', onclick: () => download(part), 'aria-label': `Save part ${part.number}` }, 'Save'))))
  return element('table', null,
    element('thead', null, element('tr', null, ['kind', 'name', 'type'].map(name => element('th', { scope: 'col', class: 'words' }, name)),
      element('th', { scope: 'col' }, 'size'), element('th', { scope: 'col' }, element('span', { class: 'offscreen' }, 'save')))),
    element('tbody', null, rows))
}

/** @param {Detail} mail */
function dialogue(mail) {
  const accepted = mail.accepted_at === null ? null : (Date.parse(mail.accepted_at) - Date.parse(mail.connected_at)) / 1000
  return element('div', null,
    element('p', { class: 'soft' }, `Connected ${fullTime(mail.connected_at)} to ${mail.local_addr}${accepted === null ? '' : `, accepted ${duration(accepted)} later`}`),
    turns(mail))
}

/** @param {Detail} mail */
function turns({ dialogue: all, size, connected_at: connected }) {
  const line = (/** @type {string} */ who, /** @type {Node} */ what) => element('div', { class: `turn ${who}` }, element('span', { class: 'who' }, who), what)
  const soft = (/** @type {string} */ words) => element('span', { class: 'soft' }, words)
  const client = (/** @type {string} */ request) => line('client', element('code', null, visible(request)))
  // When the reply was decided: a delay of it shows in the time of the next.
  const when = (/** @type {string | null} */ at) => at !== null &&
    element('span', { class: 'when', title: `${fullTime(at)}, time since the client connected` }, `+${duration(elapsed(connected, at))}`)
  const server = (/** @type {Turn} */ { reply, at }) => element('div', { class: /^[45]/.test(reply ?? '') ? 'turn server bad' : 'turn server' },
    element('span', { class: 'who' }, 'server'), reply === null ? soft('no reply was sent') : element('code', null, visible(reply)), when(at))
  /** @type {Turn | undefined} */
  let before
  return all.flatMap(turn => {
    const { stage, request, reply } = turn
    const chunk = /^bdat\b/i.test(before?.request ?? '') ? before : undefined
    before = turn
    const isWhole = stage === 'data' && /^bdat\s.*\blast\s*$/i.test(request)
    if (isWhole) return [client(request), size > 0 && line('client', soft(`${octets(size)} of message`)), server(turn)]
    if (stage === 'data') return [client(request), server(turn), reply?.startsWith('354') && size > 0 && line('client', soft(`${octets(size)} of message`))]
    if (stage !== 'message' || !chunk) return [client(request), server(turn)]
    // A message in chunks ends without a dot. The reply to a chunk that is the last one too is that to the message.
    return /\blast\s*$/i.test(chunk.request) ? [] : [line('client', soft(`${octets(size)} of message in chunks, up to that with LAST`)), server(turn)]
  })
}
