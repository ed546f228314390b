// What is shown before there is a mail: how to send the first one to this very server.

import { copyButton, element } from './dom.js'
import { quoted } from './format.js'

/** @typedef {import('../types').Server} Server */
/** @typedef {import('../types').Settings} Settings */
/** @typedef {import('../types').Listener} Listener */
/** @typedef {{ host: string, port: string, path: string | null }} Place */
/** @typedef {{ isLmtp: boolean, isTls: boolean, startsTls: boolean, user: [string, string] | null }} Needs */

/** In the place of a secret. */
const PASSWORD = 'PASSWORD'

/**
 * A listener as the flag that asks for it has it.
 * @param {Listener} listener
 */
export function urlOf({ protocol, encrypted, address }) {
  const scheme = `${protocol}${encrypted ? 's' : ''}`
  return address.startsWith('unix:') ? `${scheme}+unix://${address.slice(5)}` : `${scheme}://${address}`
}

/**
 * Where a client of this computer reaches a listener.
 * @param {Listener} listener
 * @returns {Place | null}
 */
export function reached({ address }) {
  if (address.startsWith('unix:')) return { host: 'localhost', port: '', path: address.slice(5) }
  const found = /^(.*):(\d+)$/.exec(address)
  if (!found) return null
  const [, host, port] = found
  const isAny = host === '0.0.0.0' || host === '[::]'
  return { host: isAny ? location.hostname : host, port, path: null }
}

/**
 * What a client must do before MAIL.
 * @param {Listener} listener
 * @param {Server} server
 * @param {Settings} settings
 * @returns {Needs}
 */
function needs({ protocol, encrypted }, server, settings) {
  const hasTls = server.command.some(flag => /^--tls(=true|-cert=)/.test(flag))
  const isClearRefused = settings.auth_clear === 'refuse' || (settings.auth_clear === null && hasTls)
  const isAuth = settings.auth_required === true
  const users = /** @type {string[]} */ (Array.isArray(settings.auth) ? settings.auth : [])
  const [name] = (users[0] ?? 'USER').split(':')
  return {
    isLmtp: protocol === 'lmtp',
    isTls: encrypted,
    startsTls: !encrypted && (settings.tls_required === true || (isAuth && isClearRefused)),
    user: isAuth ? (users.includes('any') ? ['ann', 'secret'] : [name, PASSWORD]) : null,
  }
}

/**
 * @param {Server} server
 * @param {Settings} settings
 * @param {Node} refused Says that mails were refused, if any were.
 */
export function firstMail(server, settings, refused) {
  // What needs least of a client comes first.
  const cost = (/** @type {Listener} */ one) => Number(one.address.startsWith('unix:')) + 2 * Number(one.encrypted) + 4 * Number(one.protocol !== 'smtp')
  const listener = [...server.listeners].sort((one, other) => cost(one) - cost(other))[0]
  const place = listener && reached(listener)
  const places = server.listeners.map(one => element('li', null, element('code', null, one.address),
    ` ${one.protocol.toUpperCase()}${one.encrypted ? ' with TLS' : ''}${one.inbox ? `, inbox ${one.inbox}` : ''} `,
    copyButton(one.address, `Copy the address ${one.address}`)))
  return element('div', { class: 'empty' },
    element('h1', null, 'No mail yet'), refused,
    element('p', null, 'Everything that is sent to this server appears here, at once. It listens at:'),
    element('ul', { class: 'places' }, places),
    server.paused && element('p', { class: 'warning' }, 'It is paused: it accepts no connections. The view Load resumes it.'),
    place && listener ? examples(place, needs(listener, server, settings)) : null)
}

/**
 * @param {Place} place
 * @param {Needs} needed
 */
function examples(place, needed) {
  const all = [['curl', curl(place, needed)], ['swaks', swaks(place, needed)], ['Python', python(place, needed)], ['Node.js', node(place, needed)]]
  return element('div', { class: 'examples' }, all.map(([name, text]) => text && element('section', null,
    element('h2', null, name, ' ', copyButton(text, `Copy the example with ${name}`)),
    element('pre', { tabindex: '0', 'aria-label': `Example with ${name}` }, text))),
  needed.user?.[1] === PASSWORD && element('p', { class: 'soft' }, `In the place of ${PASSWORD} the one that the server was started with is expected.`),
  (needed.isTls || needed.startsTls) && element('p', { class: 'soft' }, 'The examples don’t verify the certificate. Clients that do trust the file of --tls-ca-out, which is tls_ca of /v1/server.'))
}

/**
 * It has no LMTP.
 * @param {Place} place
 * @param {Needs} needed
 */
function curl({ host, port, path }, { isLmtp, isTls, startsTls, user }) {
  if (isLmtp) return null
  const url = `${isTls ? 'smtps' : 'smtp'}://${host}${port && `:${port}`}`
  const extra = [path && `--unix-socket ${quoted(path)}`, startsTls && '--ssl-reqd', (isTls || startsTls) && '--insecure', user && `--user ${quoted(user.join(':'))}`]
  return `printf 'Subject: Hello\\n\\nYour code is 482913\\n' | curl ${url} \\
${extra.some(Boolean) ? `  ${extra.filter(Boolean).join(' ')} \\\n` : ''}  --mail-from ann@example.com --mail-rcpt bob@example.com --crlf -T -`
}

/**
 * @param {Place} place
 * @param {Needs} needed
 */
function swaks({ host, port, path }, { isLmtp, isTls, startsTls, user }) {
  const extra = [isLmtp && '--protocol LMTP', isTls && '--tls-on-connect', startsTls && '--tls',
    user && `--auth --auth-user ${quoted(user[0])} --auth-password ${quoted(user[1])}`]
  const at = path ? `--socket ${quoted(path)}` : `--server ${bare(host)} --port ${port}`
  const from = '--from ann@example.com --to bob@example.com'
  return extra.some(Boolean) ? `swaks ${at} ${from} \\\n  ${extra.filter(Boolean).join(' ')}` : `swaks ${at} ${from}`
}

/**
 * Its SMTP has no Unix sockets, its LMTP no TLS from the first octet.
 * @param {Place} place
 * @param {Needs} needed
 */
function python({ host, port, path }, { isLmtp, isTls, startsTls, user }) {
  if (isLmtp ? isTls : path) return null
  const context = 'context=ssl._create_unverified_context()'
  const at = path ? JSON.stringify(path) : `"${bare(host)}", ${port}`
  const steps = [startsTls && `smtp.starttls(${context})`, user && `smtp.login(${user.map(text => JSON.stringify(text)).join(', ')})`]
  return `import smtplib${isTls || startsTls ? ', ssl' : ''}
with smtplib.${isLmtp ? 'LMTP' : isTls ? 'SMTP_SSL' : 'SMTP'}(${at}${isTls ? `, ${context}` : ''}) as smtp:
${steps.filter(Boolean).map(step => `    ${step}\n`).join('')}    smtp.sendmail("ann@example.com", ["bob@example.com"],
        "Subject: Hello\\r\\n\\r\\nYour code is 482913\\r\\n")`
}

/**
 * Nodemailer has no Unix sockets.
 * @param {Place} place
 * @param {Needs} needed
 */
function node({ host, port, path }, { isLmtp, isTls, startsTls, user }) {
  if (path) return null
  const options = [isLmtp && 'lmtp: true', isTls && 'secure: true', startsTls && 'requireTLS: true', (isTls || startsTls) && 'tls: { rejectUnauthorized: false }', user && `auth: { user: ${JSON.stringify(user[0])}, pass: ${JSON.stringify(user[1])} }`]
  return `const mailer = require('nodemailer')
mailer.createTransport({ host: '${bare(host)}', port: ${port}${options.filter(Boolean).map(option => `,\n  ${option}`).join('')} }).sendMail({
  from: 'ann@example.com', to: 'bob@example.com',
  subject: 'Hello', text: 'Your code is 482913',
})`
}

/** @param {string} host */
function bare(host) {
  return host.replace(/^\[|\]$/g, '')
}
