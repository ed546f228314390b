// The page: its views by the address behind `#`, and the state of the connection.

import { ApiError, onTokenNeeded } from './api.js'
import { behaviourView } from './behaviour.js'
import { askToken } from './dialog.js'
import { element, replace, setText } from './dom.js'
import { rate } from './format.js'
import { connection, notice, run } from './live.js'
import { loadView } from './load.js'
import { mailView } from './mail.js'

/** @type {Record<string, import('../types').View>} */
const VIEWS = { mail: mailView, load: loadView, behaviour: behaviourView }

const main = /** @type {HTMLElement} */ (document.getElementById('main'))
const navigation = /** @type {HTMLElement} */ (document.getElementById('navigation'))
const state = /** @type {HTMLElement} */ (document.getElementById('state'))
const speed = /** @type {HTMLElement} */ (document.getElementById('speed'))
const notices = /** @type {HTMLElement} */ (document.getElementById('notices'))

const links = Object.entries(VIEWS).map(([name, view]) => ({ name, link: element('a', { href: `#/${name}` }, view.title) }))
replace(navigation, links.map(({ link }) => link))

let current = ''
/** The present address, and the one before until the view has changed. */
let last = ''

function route() {
  const [path, parameters] = location.hash.replace(/^#\/?/, '').split('?')
  const [name, ...segments] = path.split('/').map(segment => {
    try {
      return decodeURIComponent(segment)
    } catch {
      return segment
    }
  })
  const known = Object.hasOwn(VIEWS, name) ? name : 'mail'
  const view = VIEWS[known]
  if (known !== current) {
    // A view is returned to as it was left.
    for (const { name, link } of links) {
      if (name === current) link.setAttribute('href', last)
      if (name === known) link.setAttribute('href', `#/${name}`)
    }
    VIEWS[current]?.hide()
    current = known
    replace(main, view.element)
    main.dataset.view = known
  }
  last = location.hash
  for (const { name, link } of links) {
    if (name === known) link.setAttribute('aria-current', 'page')
    else link.removeAttribute('aria-current')
  }
  view.show(segments, new URLSearchParams(parameters ?? ''))
}

connection.watch(({ state: now, figures, server }) => {
  const isPaused = now === 'live' && (server?.paused || figures?.paused)
  const words = { connecting: 'Connecting…', lost: 'Connection lost, trying again…', live: isPaused ? 'Paused' : 'Live' }
  setText(state, words[now])
  // Beside what is announced: it changes each second.
  setText(speed, now === 'live' && figures && figures.messages_per_second > 0 ? `, ${rate(figures.messages_per_second)} messages/s` : '')
  const parent = /** @type {HTMLElement} */ (state.parentElement)
  parent.className = `state ${isPaused ? 'paused' : now}`
})

notice.watch(text => {
  const close = element('button', { type: 'button', class: 'small', 'aria-label': 'Close this notice', onclick: () => notice.set('') }, '×')
  replace(notices, text && element('p', null, text, ' ', close))
})

// Its address is not one of a view.
document.querySelector('.skip')?.addEventListener('click', event => {
  event.preventDefault()
  main.focus()
})
onTokenNeeded(askToken)
// What the user has asked for and the server has refused.
addEventListener('unhandledrejection', event => {
  if (!(event.reason instanceof ApiError)) return
  event.preventDefault()
  notice.set(`That did not work: ${event.reason.message}.`)
})
addEventListener('hashchange', route)
route()
void run()
