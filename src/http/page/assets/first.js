// What is shown before there is a mail: how to send the first one to this very server.

import { copyButton, element } from './dom.js'

/** @typedef {import('../types').Server} Server */
/** @typedef {import('../types').Listener} Listener */

/**
 * Where a client of this computer reaches a listener.
 * @param {Listener} listener
 * @returns {{ host: string, port: string } | null}
 */
export function reached(listener) {
  const found = /^(.*):(\d+)$/.exec(listener.address)
  if (!found || listener.address.startsWith('unix:')) return null
  const [, host, port] = found
  const isAny = host === '0.0.0.0' || host === '[::]'
  return { host: isAny ? location.hostname : host, port }
}

/**
 * @param {Server} server
 */
export function firstMail(server) {
  const listener = server.listeners.find(one => one.protocol === 'smtp' && !one.encrypted && reached(one)) ?? server.listeners[0]
  const at = listener && reached(listener)
  const places = server.listeners.map(one => element('li', null, element('code', null, one.address),
    ` ${one.protocol.toUpperCase()}${one.encrypted ? ' with TLS' : ''}${one.inbox ? `, inbox ${one.inbox}` : ''} `,
    copyButton(one.address, `Copy the address ${one.address}`)))
  return element('div', { class: 'empty' },
    element('h1', null, 'No mail yet'),
    element('p', null, 'Everything that is sent to this server appears here, at once. It listens at:'),
    element('ul', { class: 'places' }, places),
    server.paused && element('p', { class: 'warning' }, 'It is paused: it accepts no connections. The view Load resumes it.'),
    at && listener ? examples(at.host, at.port, listener) : null)
}

/**
 * @param {string} host
 * @param {string} port
 * @param {Listener} listener
 */
function examples(host, port, listener) {
  const scheme = listener.encrypted ? 'smtps' : 'smtp'
  const bare = host.replace(/^\[|\]$/g, '')
  /** @type {[string, string][]} */
  const all = [
    ['curl', `printf 'Subject: Hello\\n\\nYour code is 482913\\n' | curl ${scheme}://${host}:${port} \\
  --mail-from ann@example.com --mail-rcpt bob@example.com --crlf -T -`],
    ['swaks', `swaks --server ${bare} --port ${port} --from ann@example.com --to bob@example.com`],
    ['Python', `import smtplib
with smtplib.SMTP("${bare}", ${port}) as smtp:
    smtp.sendmail("ann@example.com", ["bob@example.com"],
        "Subject: Hello\\r\\n\\r\\nYour code is 482913\\r\\n")`],
    ['Node.js', `const mailer = require('nodemailer')
mailer.createTransport({ host: '${bare}', port: ${port} }).sendMail({
  from: 'ann@example.com', to: 'bob@example.com',
  subject: 'Hello', text: 'Your code is 482913',
})`],
  ]
  return element('div', { class: 'examples' }, all.map(([name, text]) => element('section', null,
    element('h2', null, name, ' ', copyButton(text, `Copy the example with ${name}`)),
    element('pre', { tabindex: '0', 'aria-label': `Example with ${name}` }, text))))
}
