// Questions to the user.

import { element } from './dom.js'

/**
 * Asks whether to do something that can't be undone.
 * @param {string} question
 * @param {string} explanation
 * @param {string} action
 * @returns {Promise<boolean>}
 */
export function confirm(question, explanation, action) {
  const cancel = element('button', { type: 'button', onclick: () => dialog.close() }, 'Cancel')
  const go = element('button', { type: 'button', class: 'danger', onclick: () => dialog.close('yes') }, action)
  const dialog = element('dialog', { 'aria-labelledby': 'question' },
    element('h2', { id: 'question' }, question), element('p', null, explanation), element('div', { class: 'buttons' }, cancel, go))
  return shown(dialog, cancel).then(answer => answer === 'yes')
}

/**
 * Asks for a token.
 * @param {boolean} isWrong Whether the one before was not accepted.
 * @returns {Promise<string>}
 */
export function askToken(isWrong) {
  const field = element('input', { type: 'password', id: 'token', autocomplete: 'off', required: true, spellcheck: 'false', 'aria-describedby': 'token-error', 'aria-invalid': isWrong && 'true' })
  const form = element('form', {
    class: 'stack',
    onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault()
      dialog.close(field.value.trim())
    },
  }, element('label', { for: 'token' }, 'Token'), field,
  element('div', { class: 'buttons' }, element('button', { type: 'submit', class: 'primary' }, 'Continue')))
  const dialog = element('dialog', { 'aria-labelledby': 'question' },
    element('h2', { id: 'question' }, 'This server asks for a token'),
    element('p', null, 'It was started with --http-token. This tab remembers the token until it is closed.'),
    element('p', { class: 'bad', id: 'token-error' }, isWrong && 'The token was not accepted.'), form)
  return shown(dialog, field).then(answer => answer || askToken(isWrong))
}

/**
 * @param {HTMLDialogElement} dialog
 * @param {HTMLElement} focused
 * @returns {Promise<string>}
 */
function shown(dialog, focused) {
  document.body.append(dialog)
  dialog.showModal()
  focused.focus()
  return new Promise(done => dialog.addEventListener('close', () => {
    dialog.remove()
    done(dialog.returnValue)
  }))
}
