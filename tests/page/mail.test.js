// Mails in the page, in a real browser.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dialogue, load, open, send, serve, until } from './support.js'

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
  const times = await page.locator('.turn .when').allTextContents()
  assert.ok(times.length >= 4 && times.every(time => /^\+[\d.]+\u00a0(µs|ms|s)$|^\+0$/.test(time)), times.join())
  check()
})

test('a search stays when one of its messages is chosen, is one step of the history, and dims when it is faulty', async () => {
  const server = await serve()
  await send(server, ['one', 'two', 'three'].map(to => ({ text: `To: ${to}@example.com\nSubject: to ${to}\n\ntext`, to: `${to}@example.com` })))
  const { page, check } = await open(server)
  const rows = page.locator('.rows li')
  await until(async () => await rows.count() === 3, 'three mails')
  const search = page.getByRole('searchbox', { name: 'Search messages' })
  await search.pressSequentially('to:two', { delay: 250 })
  await until(async () => await rows.count() === 1, 'the mail that was searched for')
  await page.locator('.rows a').click()
  await page.getByRole('heading', { name: 'to two', exact: true }).waitFor()
  assert.deepEqual([await rows.count(), await search.inputValue()], [1, 'to:two'])
  // To another view and back.
  await page.getByRole('link', { name: 'Load', exact: true }).click()
  await page.getByRole('heading', { name: 'What the clients do' }).waitFor()
  await page.getByRole('link', { name: 'Mail', exact: true }).click()
  await page.getByRole('heading', { name: 'to two', exact: true }).waitFor()
  assert.equal(await rows.count(), 1)
  for (let steps = 0; steps < 3; steps += 1) await page.goBack()
  await until(async () => await page.evaluate(() => location.hash) === '#/mail?query=to%3Atwo', 'the search')
  await page.goBack()
  await until(async () => await rows.count() === 3, 'all mails, one step before the search')
  await search.fill('larger:abc')
  await page.getByText('What was found before:').waitFor()
  await page.locator('.former .rows li').first().waitFor()
  assert.ok(await page.getByRole('button', { name: 'Delete these' }).isDisabled(), 'nothing is deleted by a faulty search')
  await search.fill('')
  await page.locator('.list:not(.former)').waitFor()
  check()
})

test('a message that others delete stays open, is no longer on the server, and has its place among the others', async () => {
  const server = await serve(['--keep-messages', '5'])
  const mail = (/** @type {string} */ subject) => ({ text: `Subject: ${subject}\n\n${`${subject}\n`.repeat(300)}` })
  await send(server, ['one', 'two', 'three', 'four', 'five'].map(mail))
  const { page, check } = await open(server)
  const heading = (/** @type {string} */ name) => page.getByRole('heading', { name, exact: true }).waitFor()
  const openRow = async (/** @type {string} */ name) => {
    await page.getByRole('link', { name }).click()
    await heading(name)
  }
  const isGone = page.getByText('This message is no longer on the server')
  await openRow('three')
  await page.locator('.detail').evaluate(node => { node.scrollTop = node.scrollHeight })
  const { messages: [three] } = await server.v1('/messages?query=subject:three')
  await server.v1(`/messages/${three.id}`, { method: 'DELETE' })
  await isGone.waitFor()
  await heading('three')
  await page.keyboard.press('J')
  await heading('two')
  assert.equal(await isGone.count(), 0)
  assert.equal(await page.locator('.detail').evaluate(node => node.scrollTop), 0, 'from its beginning')
  // Evicted: nobody says which.
  await openRow('one')
  await send(server, ['six', 'seven'].map(mail))
  await isGone.waitFor()
  await page.getByText('1 older record evicted').waitFor()
  // With the keyboard within the message.
  await page.getByRole('tabpanel').click()
  await page.keyboard.press('k')
  await heading('two')
  await page.getByRole('article').getByRole('button', { name: 'Delete' }).focus()
  await page.keyboard.press('Enter')
  await heading('four')
  assert.equal(await page.evaluate(() => document.activeElement?.className), 'detail')
  check()
})

test('what can’t be done without the server is reported, and a message is shown when it is back', async () => {
  const server = await serve()
  await send(server, ['one', 'two'].map(subject => ({ text: `Subject: ${subject}\n\ntext` })))
  const { page, problems } = await open(server)
  await page.getByRole('link', { name: 'one' }).click()
  await page.getByRole('heading', { name: 'one', exact: true }).waitFor()
  const [port, http] = [String(server.port), server.url.split(':').at(-1) ?? '0']
  await server.stop()
  await page.getByText('Connection lost').waitFor()
  await page.getByRole('article').getByRole('button', { name: 'Delete' }).click()
  await page.getByText('That did not work: the server can’t be reached').waitFor()
  await page.getByRole('link', { name: 'two' }).click()
  await page.getByRole('heading', { name: 'The message can’t be shown' }).waitFor()
  await serve([], { port, http })
  await page.getByRole('heading', { name: 'This message is gone' }).waitFor()
  await page.goto(`${server.url}/#/__proto__`)
  await page.getByRole('heading', { name: 'No mail yet' }).waitFor()
  assert.deepEqual(problems.filter(text => !/net::|fetch/.test(text)), [])
})

test('the first mail that is refused is announced, and its dialogue has only what happened', async () => {
  const server = await serve(['--esmtp'])
  const { page, check } = await open(server)
  await page.getByRole('heading', { name: 'No mail yet' }).waitFor()
  await dialogue(server, ['EHLO x', 'MAIL FROM:<ann@example.com>', 'DATA', 'QUIT'])
  await page.getByText('1 mail was refused or abandoned').waitFor()
  await page.getByRole('link', { name: 'show', exact: true }).click()
  await page.locator('.rows a').click()
  const lines = async () => {
    await page.getByRole('tab', { name: 'Dialogue' }).click()
    const all = await page.locator('.turn').allTextContents()
    return all.map(text => text.replace(/\+[\d.]+\u00a0\S+$/, ''))
  }
  assert.deepEqual((await lines()).slice(-2), ['clientDATA', 'server503 5.5.1 Bad sequence of commands. DATA should be used after RCPT TO'])
  for (const chunks of [['BDAT 6 LAST\r\nchunk\n'], ['BDAT 6\r\nchunk\n', 'BDAT 0 LAST']]) {
    await dialogue(server, ['EHLO x', 'MAIL FROM:<ann@example.com>', 'RCPT TO:<bob@example.com>', ...chunks, 'QUIT'])
  }
  await page.goto(`${server.url}/#/mail`)
  await until(async () => await page.locator('.rows li').count() === 2, 'two mails')
  await page.locator('.rows a').last().click()
  await page.getByText('BDAT 6 LAST').waitFor()
  assert.deepEqual((await lines()).slice(-3).map(text => text.replace(/\s/g, ' ').slice(0, 18)), ['clientBDAT 6 LAST', 'client6 B of messa', 'server250 2.0.0 Ok'])
  await page.locator('.rows a').first().click()
  await page.getByText('in chunks').waitFor()
  assert.equal((await lines()).filter(text => text === 'client.').length, 0, 'chunks have no dot')
  check()
})

test('many recipients and long links leave the message in view', async () => {
  const server = await serve(['--esmtp'])
  const names = Array.from({ length: 120 }, (_, index) => `person${index}@example.com`)
  const text = `From: <>\nTo: ${names.join(',\n ')}\nSubject: crowd\n\nhttps://app.example/${'x'.repeat(900)}`
  await dialogue(server, ['EHLO x', 'MAIL FROM:<ann@example.com>', ...names.map(name => `RCPT TO:<${name}>`), 'DATA', `${text.replaceAll('\n', '\r\n')}\r\n.`, 'QUIT'])
  const { page, check } = await open(server, '#/mail', { viewport: { width: 375, height: 800 } })
  await page.locator('.rows a').click()
  const panel = page.getByRole('tabpanel')
  await panel.waitFor()
  assert.ok(((await panel.boundingBox())?.y ?? 9999) < 700, 'the text begins on the first screen')
  assert.equal(await page.getByText('person77@example.com').first().isVisible(), false)
  await page.locator('.more summary').first().click()
  await page.locator('.facts').getByText('person77@example.com').first().waitFor()
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
  assert.equal(await page.locator('.pill').textContent(), '1 new')
  await load(server, ['--count', '100'])
  await page.getByText('60 or more new').waitFor()
  await send(server, [{ text: 'Subject: the very last\n\ntext' }])
  await page.locator('.pill').click()
  await page.getByRole('link', { name: /the very last/ }).waitFor()
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
  await page.getByRole('textbox', { name: 'Token' }).fill('wrong')
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.getByText('The token was not accepted.').waitFor()
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
