// Mails in the page, in a real browser.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { load, open, send, serve, until } from './support.js'

const WELCOME = `From: Example <no-reply@example.com>
To: bob@example.com
Subject: Welcome
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary=b

--b

Your code is 482913, or https://app.example/confirm?t=7
--b
Content-Type: text/html

<p style="color: rgb(1, 2, 3)">Your code is <b>482913</b>: <a href="https://app.example/confirm?t=7">confirm</a></p>
--b--`

test('a mail arrives and is shown, with its codes, links and dialogue', async () => {
  const server = await serve(['--esmtp'])
  const { page, check } = await open(server)
  await page.getByRole('heading', { name: 'No mail yet' }).waitFor()
  assert.ok((await page.locator('.examples').textContent())?.includes(String(server.port)), 'the examples name this server')
  await send(server, [{ text: WELCOME }])
  // Without a reload.
  await page.getByRole('link', { name: /Welcome/ }).click()
  await page.getByRole('heading', { name: 'Welcome', exact: true }).waitFor()
  const frame = page.frameLocator('iframe')
  assert.equal(await frame.locator('p').evaluate(node => getComputedStyle(node).color), 'rgb(1, 2, 3)')
  assert.equal(await page.locator('.chip code').textContent(), '482913')
  assert.equal(await page.locator('.found a').getAttribute('href'), 'https://app.example/confirm?t=7')
  for (const [tab, text] of [['Text', 'Your code is 482913'], ['Source', 'boundary=b'], ['Headers', 'no-reply@example.com'], ['Parts', 'text/html'], ['Dialogue', 'RCPT TO:<bob@example.com>']]) {
    await page.getByRole('tab', { name: tab }).click()
    await page.getByRole('tabpanel').getByText(text).first().waitFor()
  }
  check()
})

test('what senders write runs no script and makes no request', async () => {
  const server = await serve(['--esmtp', '--addresses', 'any'])
  const evil = '<img src=x onerror=alert(1)><script>alert(2)</script>'
  const html = `<script>alert(3)</script><img src="https://evil.example/i" onerror="alert(4)"><img src="/v1/messages?evil">
<svg onload="alert(5)"><script>alert(6)</script><image href="https://evil.example/s"/></svg>
<style>@import "https://evil.example/c"; body { background: url(https://evil.example/b) } @font-face { font-family: x; src: url(https://evil.example/f) } p { font-family: x }</style>
<link rel=stylesheet href="https://evil.example/l"><link rel=preconnect href="https://evil.example">
<meta http-equiv=refresh content="0;url=https://evil.example/m"><base href="https://evil.example/">
<iframe src="https://evil.example/f"></iframe><iframe srcdoc="<script>alert(7)</script>&lt;link rel=preconnect href=https://evil.example&gt;"></iframe>
<object data="https://evil.example/o"></object><embed src="https://evil.example/e"><video src="https://evil.example/v" poster="https://evil.example/p"></video>
<form action="https://evil.example/a"><input autofocus onfocus="alert(8)"></form><a href="javascript:alert(9)">javascript</a><p>the end</p>`
  const mail = `From: ${evil} <x@example.com>
To: "${evil}" <bob@example.com>
Subject: ${evil}
X-${'a'.repeat(40)}: ${evil}
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/html

${html}
--b
Content-Type: image/svg+xml; name="${evil.replaceAll('"', '')}.svg"
Content-Disposition: attachment; filename="../../${evil.replaceAll('"', '')}\u202egnp.svg"

<svg xmlns="http://www.w3.org/2000/svg" onload="alert(10)"><script>alert(11)</script></svg>
--b
Content-Type: text/html; name=page.html

<script>alert(12)</script>
--b--`
  const text = `Subject: =?utf-8?q?=E2=80=AE?= reversed\n\n${evil} https://evil.example/t javascript:alert(13)`
  await send(server, [{ text: mail, from: '"<script>alert(14)</script>"@x.example', to: '"<img/src=x/onerror=alert(15)>"@y.example' }, { text }], '<script>alert(16)</script>')
  const { page, check } = await open(server, '#/mail?accepted=any')
  const { messages } = await server.v1('/messages?accepted=any')
  assert.ok(messages.length >= 2)
  for (const { id } of messages) {
    await page.goto(`${server.url}/#/mail/${id}?accepted=any`)
    await page.locator('.message').waitFor()
    for (const tab of await page.getByRole('tab').all()) {
      await tab.click()
      await page.locator('.panel > *').first().waitFor()
    }
  }
  const first = messages.find((/** @type {any} */ one) => one.size > 1000)
  await page.goto(`${server.url}/#/mail/${first.id}?accepted=any`)
  await page.getByRole('tab', { name: 'HTML' }).click()
  const frame = page.frameLocator('iframe')
  await frame.getByText('the end').waitFor()
  await frame.getByText('javascript', { exact: true }).click()
  assert.equal(await page.locator('script').count(), 1, 'only that of the page')
  assert.equal(await page.locator('img').count(), 1, 'only that of the page')
  // The frame has no origin: it can read nothing, and be read by nothing.
  assert.equal(await page.locator('iframe').evaluate(node => /** @type {HTMLIFrameElement} */ (node).contentDocument), null)
  check(/^(Blocked script|Blocked autofocusing|Refused to execute the redirect|.* violates the following Content Security Policy directive)/)
})

test('mails are searched for, deleted and taken, and those that others delete go away', async () => {
  const server = await serve()
  const mail = (/** @type {string} */ subject) => ({ text: `Subject: ${subject}\n\ntext` })
  await send(server, ['one', 'two', 'three', 'four'].map(mail))
  const { page, check } = await open(server)
  const rows = page.locator('.rows li')
  const subjects = () => page.locator('.rows .subject').allTextContents()
  await until(async () => await rows.count() === 4, 'four mails')
  await page.getByRole('searchbox', { name: 'Search messages' }).fill('subject:two')
  await until(async () => (await subjects()).join() === 'two', 'the mail that was searched for')
  assert.match(page.url(), /query=subject%3Atwo/)
  await page.getByRole('searchbox', { name: 'Search messages' }).fill('larger:x')
  await page.locator('#search-error:has-text("size")').waitFor()
  await page.getByRole('searchbox', { name: 'Search messages' }).fill('')
  await until(async () => await rows.count() === 4, 'all mails')
  await page.getByRole('link', { name: /three/ }).click()
  await page.getByRole('article').getByRole('button', { name: 'Delete' }).click()
  await until(async () => (await subjects()).join() === 'four,two,one', 'one mail less')
  const { messages } = await server.v1('/messages?query=subject:one')
  await server.v1(`/messages/${messages[0].id}`, { method: 'DELETE' })
  await until(async () => (await subjects()).join() === 'four,two', 'another one less')
  await page.getByRole('button', { name: 'Take', exact: true }).click()
  const download = page.waitForEvent('download')
  await page.getByRole('dialog').getByRole('button', { name: 'Take' }).click()
  assert.equal((await download).suggestedFilename(), 'messages.json')
  await until(async () => await rows.count() === 0, 'no mail')
  assert.equal((await server.v1('/messages')).total, 0)
  check()
})

test('keys choose, search and delete', async () => {
  const server = await serve()
  await send(server, ['one', 'two', 'three'].map(subject => ({ text: `Subject: ${subject}\n\ntext` })))
  const { page, check } = await open(server)
  await until(async () => await page.locator('.rows li').count() === 3, 'three mails')
  const heading = (/** @type {string} */ name) => page.getByRole('heading', { name, exact: true }).waitFor()
  await page.keyboard.press('j')
  await heading('three')
  await page.keyboard.press('j')
  await heading('two')
  await page.keyboard.press('k')
  await heading('three')
  await page.keyboard.press('Delete')
  await heading('two')
  await page.keyboard.press('/')
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'search')
  await page.keyboard.type('one')
  await until(async () => await page.locator('.rows li').count() === 1, 'one mail')
  assert.equal((await server.v1('/messages')).total, 2)
  // By the tabulator alone: a row, then its tabs by arrows.
  await page.locator('.rows a').first().focus()
  await page.keyboard.press('Enter')
  await heading('one')
  await page.getByRole('tab', { name: 'Text' }).focus()
  await page.keyboard.press('ArrowRight')
  assert.equal(await page.getByRole('tab', { name: 'Source' }).getAttribute('aria-selected'), 'true')
  check()
})

test('ten thousand messages are a list that scrolls to its end', async () => {
  const server = await serve(['--esmtp'])
  await load(server, ['--count', '10000', '-c', '8'])
  const { page, check } = await open(server)
  await page.getByText('10,000 messages').waitFor()
  assert.ok(await page.locator('.rows li').count() < 60, 'only what can be seen is there')
  const newest = await page.locator('.rows a').first().getAttribute('href')
  await until(async () => {
    await page.locator('.scroller').evaluate(node => { node.scrollTop = node.scrollHeight })
    return await page.locator('.rows li[aria-posinset="10000"]').count() === 1
  }, 'the oldest message')
  // While the list is at another place, it stays there.
  const before = await page.locator('.rows a').first().getAttribute('href')
  await send(server, [{ text: 'Subject: the newest\n\ntext' }])
  await page.locator('.pill:visible').waitFor()
  assert.equal(await page.locator('.rows a').first().getAttribute('href'), before)
  await page.locator('.pill').click()
  await page.getByRole('link', { name: /the newest/ }).waitFor()
  assert.notEqual(await page.locator('.rows a').first().getAttribute('href'), newest)
  check()
})

test('the page says what it missed while the server was away, and that it is another one', async () => {
  const server = await serve()
  await send(server, [{ text: 'Subject: before\n\ntext' }])
  const { page, problems } = await open(server)
  await page.getByRole('link', { name: /before/ }).waitFor()
  await until(async () => (await page.locator('#state').textContent())?.startsWith('Live'), 'the first figures')
  const [port, http] = [String(server.port), server.url.split(':').at(-1) ?? '0']
  await server.stop()
  await page.getByText('Connection lost').waitFor()
  const again = await serve([], { port, http })
  await page.getByText('The server was restarted').waitFor()
  await until(async () => await page.locator('.rows li').count() === 0, 'an empty list')
  await send(again, [{ text: 'Subject: behind\n\ntext' }])
  await page.getByRole('link', { name: /behind/ }).waitFor()
  assert.deepEqual(problems.filter(text => !/net::|fetch/.test(text)), [])
})

test('a token is asked for, and the frame of a mail needs none', async () => {
  const server = await serve(['--http-token', 't0ken'])
  await send(server, [{ text: WELCOME }])
  const { page, check } = await open(server)
  await page.getByRole('textbox', { name: 'Token' }).fill('t0ken')
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.getByRole('link', { name: /Welcome/ }).click()
  await page.frameLocator('iframe').getByText('Your code is').waitFor()
  await page.reload()
  await page.frameLocator('iframe').getByText('Your code is').waitFor()
  check()
})

test('a user and password are asked for by the browser', async () => {
  const server = await serve(['--http-auth', 'ann:secret'])
  await send(server, [{ text: WELCOME }])
  const { page, check } = await open(server, '#/mail', { httpCredentials: { username: 'ann', password: 'secret' } })
  await page.getByRole('link', { name: /Welcome/ }).click()
  await page.frameLocator('iframe').getByText('Your code is').waitFor()
  check()
})
