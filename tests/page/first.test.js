// The examples that are shown before there is a mail, each run as it is.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { open, serve } from './support.js'

const sockets = mkdtempSync(join(tmpdir(), 'page-sockets-'))
after(() => rmSync(sockets, { recursive: true, force: true }))

for (const [name, flags, programs] of /** @type {[string, string[], string[]][]} */ ([
  ['SMTP', [], ['curl', 'Python', 'swaks']],
  ['LMTP', ['--listen', 'lmtp://127.0.0.1:0'], ['Python', 'swaks']],
  ['SMTP under TLS', ['--tls', '--listen', 'smtps://127.0.0.1:0'], ['curl', 'Python', 'swaks']],
  ['STARTTLS', ['--tls-required'], ['curl', 'Python', 'swaks']],
  ['a password', ['--auth', 'ann:a b', '--auth-required'], ['curl', 'Python', 'swaks']],
  ['any password under STARTTLS', ['--auth', 'any', '--auth-required', '--tls'], ['curl', 'Python', 'swaks']],
  ['a Unix socket', ['--listen', `smtp+unix://${sockets}/smtp.sock`], ['curl', 'swaks']],
  ['LMTP on a Unix socket', ['--listen', `lmtp+unix://${sockets}/lmtp.sock`], ['Python', 'swaks']],
])) {
  test(`the examples send to a server with ${name}`, async () => {
    const server = await serve(flags)
    const { page, check } = await open(server)
    await page.locator('.examples').waitFor()
    const shown = await page.locator('.examples h2').allTextContents()
    assert.deepEqual(programs.filter(program => !shown.some(text => text.startsWith(program))), [])
    const example = async (/** @type {string} */ program) =>
      (await page.getByLabel(`Example with ${program}`, { exact: true }).textContent() ?? '').replace('PASSWORD', () => (program === 'Python' ? 'a b' : "'a b'"))
    const texts = await Promise.all(programs.map(async program => ({ program, text: await example(program) })))
    let sent = 0
    for (const { program, text } of texts) {
      // swaks is in few systems.
      if (program === 'swaks' && await run('sh', ['-c', 'command -v swaks']) !== 0) continue
      assert.equal(await (program === 'Python' ? run('python3', ['-c', text]) : run('sh', ['-c', text])), 0, `${program}: ${text}`)
      sent += 1
      assert.equal((await server.v1('/messages')).total, sent)
    }
    await page.goto(`${server.url}/#/behaviour`)
    const [, flag] = flags.slice(flags.indexOf('--listen'))
    if (name.includes('Unix')) await page.getByText(flag, { exact: true }).waitFor()
    check()
  })
}

/**
 * Runs a program to its end.
 * @param {string} program
 * @param {string[]} flags
 */
function run(program, flags) {
  return new Promise((done, fail) => spawn(program, flags, { stdio: 'ignore', timeout: 30_000 }).on('exit', done).on('error', fail))
}
