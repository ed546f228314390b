// What the tests of the page have in common: a server, mails, and a browser whose requests are noted.
//
// SMTPMOCK and SMTPLOAD are the programs, CHROMIUM the browser. Everything waits for what happens, within PATIENCE.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, existsSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { chromium } from 'playwright-core'

const { SMTPMOCK = 'smtpmock', SMTPLOAD = 'smtpload', CHROMIUM = '/usr/bin/chromium' } = process.env

/** Milliseconds. */
export const PATIENCE = 60_000

const folder = mkdtempSync(join(tmpdir(), 'page-'))
/** @type {(() => unknown)[]} */
const endings = [() => rmSync(folder, { recursive: true, force: true })]
after(async () => {
  for (const end of endings.reverse()) await end()
})

/**
 * Waits until this returns something.
 * @template T
 * @param {() => T | Promise<T>} what
 * @param {string} name
 */
export async function until(what, name) {
  for (const deadline = Date.now() + PATIENCE; Date.now() < deadline; await sleep(20)) {
    const found = await what()
    if (found) return found
  }
  throw new Error(`waited in vain for ${name}`)
}

let servers = 0

/**
 * A running server, with these flags besides its ports.
 * @param {string[]} flags
 */
export async function serve(flags = [], { port = '0', http = '0' } = {}) {
  servers += 1
  const ready = join(folder, `ready-${servers}.json`)
  const child = spawn(SMTPMOCK, [...(flags.includes('--listen') ? [] : ['--port', port]), '--http', http, '--ready-file', ready, '-q', ...flags], { stdio: 'inherit' })
  const ended = new Promise(done => child.on('exit', done))
  const stop = async () => {
    child.kill('SIGTERM')
    await ended
  }
  endings.push(stop)
  await until(() => existsSync(ready), 'the server')
  const text = JSON.parse(readFileSync(ready, 'utf8'))
  const url = [text.http].flat()[0]
  const smtp = [text.smtp, text.lmtp, text.smtps].flat().find(Boolean)
  const v1 = async (/** @type {string} */ path, /** @type {RequestInit} */ options = {}) => (await fetch(`${url}/v1${path}`, options)).json()
  return { url, smtp, port: Number(smtp.split(':').at(-1)), v1, stop, process: child }
}

/** @typedef {Awaited<ReturnType<typeof serve>>} Server */

/**
 * A session.
 * @param {Server} server
 */
async function session(server) {
  const socket = connect(server.port, '127.0.0.1')
  socket.setEncoding('latin1')
  let rest = ''
  socket.on('data', data => { rest += data })
  const reply = async () => {
    await until(() => /^\d{3} .*\r\n/m.test(rest), 'a reply')
    const found = rest
    rest = ''
    return found
  }
  await reply()
  const ask = async (/** @type {string} */ line) => {
    socket.write(`${line}\r\n`)
    return reply()
  }
  return { ask, close: () => socket.destroy() }
}

/**
 * Sends these lines, each behind the reply to the one before.
 * @param {Server} server
 * @param {string[]} lines
 */
export async function dialogue(server, lines) {
  const { ask, close } = await session(server)
  for (const line of lines) await ask(line)
  close()
}

/**
 * Sends mails over one session, each as it is.
 * @param {Server} server
 * @param {{ text: string, from?: string, to?: string }[]} mails
 */
export async function send(server, mails, helo = 'client.example') {
  const { ask, close } = await session(server)
  await ask(`EHLO ${helo}`)
  for (const { text, from = 'ann@example.com', to = 'bob@example.com' } of mails) {
    await ask(`MAIL FROM:<${from}>`)
    if ((await ask(`RCPT TO:<${to}>`))[0] !== '2') continue
    await ask('DATA')
    await ask(`${text.replace(/\r?\n/g, '\r\n')}\r\n.`)
  }
  await ask('QUIT')
  close()
}

/**
 * Runs the load generator to its end.
 * @param {Server} server
 * @param {string[]} flags
 */
export function load(server, flags) {
  const child = spawn(SMTPLOAD, [server.smtp, ...flags], { stdio: 'ignore' })
  endings.push(() => child.kill('SIGKILL'))
  return new Promise(done => child.on('exit', done))
}

/** Stands for all hosts that senders name: it is where a request for one would arrive. */
const trap = createServer(socket => {
  trapped += 1
  socket.destroy()
})
let trapped = 0

/** @type {import('playwright-core').Browser | null} */
let browser = null

/**
 * The page in a window of its own. Nothing may go wrong in it, and no request leaves for another origin.
 * @param {Server} server
 * @param {string} hash
 * @param {import('playwright-core').BrowserContextOptions} options
 */
export async function open(server, hash = '#/mail', options = {}) {
  if (!browser) {
    await new Promise(done => trap.listen(0, '127.0.0.1', () => done(null)))
    const { port } = /** @type {import('node:net').AddressInfo} */ (trap.address())
    const args = ['--no-sandbox', '--no-proxy-server', `--host-resolver-rules=MAP *.example 127.0.0.1:${port}`]
    browser = await chromium.launch({ executablePath: CHROMIUM, args })
    endings.push(() => trap.close(), () => browser?.close())
  }
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options })
  context.setDefaultTimeout(PATIENCE)
  /** @type {import('playwright-core').Request[]} */
  const requests = []
  /** @type {string[]} */
  const problems = []
  context.on('request', request => requests.push(request))
  const page = await context.newPage()
  page.on('pageerror', error => problems.push(String(error)))
  page.on('dialog', dialog => {
    problems.push(`a script of a sender: ${dialog.message()}`)
    void dialog.dismiss()
  })
  page.on('console', message => {
    if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) problems.push(message.text())
  })
  await page.goto(`${server.url}/${hash}`)
  const isOwn = (/** @type {string} */ url) => url.startsWith(`${server.url}/`) || url.startsWith('data:') || url.startsWith('blob:')
  // Those that the policy has blocked never left the browser.
  const foreign = () => requests.filter(request => !isOwn(request.url()) && !/csp|BLOCKED/i.test(request.failure()?.errorText ?? ''))
  const check = (expected = /^$/) => assert.deepEqual(
    [trapped, foreign().map(request => request.url()), problems.filter(text => !expected.test(text))], [0, [], []])
  return { page, problems, check, close: () => context.close() }
}
