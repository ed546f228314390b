// The views of a load and of the behaviour, in a real browser, while a load runs.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { load, open, send, serve, until } from './support.js'

/** @param {string | null | undefined} text */
const number = text => Number((text ?? '').replace(/[^\d.]/g, ''))

test('a load is shown as it runs, and in the end as the report has it', async () => {
  const server = await serve(['--esmtp', '--rule', 'rcpt odds=10% reply="452 4.2.2 full"'])
  const { page, check } = await open(server, '#/load')
  const tile = (/** @type {string} */ name) => page.locator('.tile', { has: page.getByText(name, { exact: true }) }).locator('b')
  await tile('messages accepted').waitFor()
  const ended = load(server, ['--count', '3000', '-c', '4', '--rate', '500'])
  await until(async () => number(await tile('accepted a second').textContent()) > 50, 'a rate')
  // What was before a reload is there behind it.
  await page.reload()
  await until(async () => await page.locator('figure', { hasText: 'Messages a second' }).locator('polyline').first().getAttribute('points') !== '', 'the line of the rate')
  await ended
  const report = await server.v1('/report')
  const shown = (/** @type {string} */ name) => until(async () => number(await tile(name).textContent()) === report.metrics[name === 'refused' ? 'messages.refused' : 'messages'], `all of ${name}`)
  await shown('messages accepted')
  await shown('refused')
  const refusals = page.locator('.card', { hasText: 'Refusals by stage and code' })
  await until(async () => number(await refusals.locator('tbody tr td').nth(1).textContent()) === report.refused.rcpt['452'], 'the refusals')
  assert.equal(await refusals.locator('tbody tr th').textContent(), 'rcpt')
  const stages = page.locator('.card', { hasText: 'Stages' }).locator('tbody tr')
  assert.ok((await stages.allTextContents()).some(text => text.startsWith('mail')), 'stages are listed')
  check()
})

test('distributions are decoded as the report has them', async () => {
  const server = await serve(['--esmtp', '--rule', 'message odds=5% delay=1ms..9ms'])
  await load(server, ['--count', '2000', '-c', '4'])
  const { page, check } = await open(server, '#/load')
  const compared = await page.evaluate(async () => {
    const { decoded } = await import(/** @type {any} */ ('/page/histogram.js'))
    const { metrics } = await (await fetch('/v1/report')).json()
    const all = []
    for (const [name, value] of Object.entries(metrics)) {
      const histogram = await decoded(value)
      if (!histogram) continue
      const own = [histogram.count, histogram.at(0.5), histogram.at(0.9), histogram.at(0.99), histogram.at(0.999), histogram.at(1)]
      all.push({ name, own, report: [value.count, value.p50, value.p90, value.p99, value['p99.9'], value.max] })
    }
    return all
  })
  assert.ok(compared.length > 10, `${compared.length}`)
  for (const { name, own, report } of compared) assert.deepEqual(own, report, name)
  check()
})

test('at thousands a second the list shows samples, and counts are exact', async () => {
  const server = await serve(['--esmtp'])
  const { page, check } = await open(server)
  await page.getByRole('heading', { name: 'No mail yet' }).waitFor()
  const ended = load(server, ['--count', '15000', '-c', '8', '--rate', '1500'])
  await page.getByText('the list shows samples, counts are exact').waitFor()
  assert.ok(await page.locator('.rows li').count() < 60, 'only what can be seen is there')
  await ended
  await page.getByText('10,000 messages, 5,000 older ones evicted').waitFor()
  await until(async () => await page.getByText('the list shows samples').count() === 0, 'single messages again')
  await send(server, [{ text: 'Subject: a single one\n\ntext' }])
  await page.getByRole('link', { name: /a single one/ }).waitFor()
  await page.goto(`${server.url}/#/load`)
  await page.locator('.tile', { hasText: 'messages accepted' }).getByText('15,001', { exact: true }).waitFor()
  check()
})

test('a tab that nobody sees asks for nothing, and is up to date when it is seen', async () => {
  const server = await serve()
  const { page, check } = await open(server, '#/load')
  await page.locator('.tile').first().waitFor()
  const see = (/** @type {boolean} */ isSeen) => page.evaluate(isSeen => {
    Object.defineProperty(document, 'hidden', { value: !isSeen, configurable: true })
    document.dispatchEvent(new Event('visibilitychange'))
  }, isSeen)
  await see(false)
  let reports = 0
  page.on('request', request => { reports += Number(request.url().includes('/report')) })
  const { elapsed } = await page.evaluate(async () => (await import(/** @type {any} */ ('/page/live.js'))).connection.get().figures)
  await until(() => page.evaluate(async before => (await import(/** @type {any} */ ('/page/live.js'))).connection.get().figures.elapsed > before + 5, elapsed), 'five seconds')
  assert.ok(reports <= 1, `${reports}, of which one was on its way`)
  await send(server, [{ text: 'Subject: one\n\ntext' }])
  await see(true)
  await until(async () => (await page.locator('.card', { hasText: 'Stages' }).locator('tbody').textContent())?.includes('mail'), 'the report')
  check()
})

test('a mark begins a phase, and a paused server says so', async () => {
  const server = await serve()
  await send(server, [{ text: 'Subject: one\n\ntext' }])
  const { page, check } = await open(server, '#/load')
  await page.getByRole('button', { name: 'Set a mark' }).click()
  const phases = page.locator('.card', { hasText: 'Phases' }).locator('tbody tr')
  await until(async () => (await phases.allTextContents())[0]?.startsWith('from the start'), 'a phase that has ended')
  assert.equal(await phases.first().locator('td').nth(1).textContent(), '1')
  await until(async () => await phases.last().locator('td').nth(1).textContent() === '0', 'a phase that begins with nothing')
  await page.getByRole('button', { name: 'Pause' }).click()
  await page.getByText('Paused: no connections').waitFor()
  assert.equal((await fetch(`${server.url}/readyz`)).status, 503)
  await page.getByRole('button', { name: 'Resume' }).click()
  await until(async () => (await fetch(`${server.url}/readyz`)).status === 200, 'a server that goes on')
  await page.getByRole('button', { name: 'Stop' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Stop' }).click()
  await page.getByText('Connection lost').waitFor()
  await until(() => server.process.exitCode === 0, 'the end of the program')
  check(/net::/)
})

test('a rule that is changed under load takes effect, and its fault is shown at its place', async () => {
  const server = await serve(['--esmtp', '--rule', 'rcpt id=old to=nobody@* reply="550 5.1.1 No"'])
  const { page, check } = await open(server, '#/behaviour')
  const ended = load(server, ['--count', '4000', '-c', '4', '--rate', '400'])
  await page.getByText('Edit all as text').click()
  const editor = page.getByRole('textbox', { name: /One rule in each line/ })
  const old = await editor.inputValue()
  assert.equal(old, 'rcpt id=old to=nobody@* reply="550 5.1.1 No"')
  await editor.fill(`${old}\n\nmessage odds=10% replyy="452 4.3.1 Disk full"`)
  await page.getByRole('button', { name: 'Apply' }).click()
  await page.getByText('Line 3').waitFor()
  assert.equal(await editor.evaluate(node => {
    const { value, selectionStart, selectionEnd } = /** @type {HTMLTextAreaElement} */ (node)
    return value.slice(selectionStart, selectionEnd)
  }), 'replyy=')
  assert.equal((await server.v1('/rules')).rules.length, 1, 'nothing was changed')
  await editor.fill(`${old}\n\nmessage odds=10% reply="452 4.3.1 Disk full"`)
  await page.getByRole('button', { name: 'Apply' }).click()
  const row = page.locator('tr', { hasText: 'Disk full' })
  await until(async () => number(await row.locator('td').nth(1).textContent()) > 5, 'a rule that fires')
  await ended
  const { refused } = await server.v1('/report')
  assert.ok(refused.message['452'] > 5)
  await until(async () => number(await row.locator('td').nth(1).textContent()) === refused.message['452'], 'its count')
  await page.getByLabel('The command line', { exact: true }).getByText('Disk full').waitFor()
  check()
})

test('a rule for a time runs down, and stays so when others change', async () => {
  const server = await serve()
  const { page, check } = await open(server, '#/behaviour')
  await page.getByLabel('Add a rule').fill('rcpt to=a@* reply="452 4.2.2 full"')
  await page.getByLabel(/^for/).fill('2m')
  await page.getByRole('button', { name: 'Add', exact: true }).click()
  const row = page.locator('tr', { hasText: 'to=a@*' })
  await until(async () => /\d\ss$/.test(await row.locator('td').nth(2).textContent() ?? ''), 'what is left')
  await page.getByLabel('Add a rule').fill('rcpt to=b@* reply="452 4.2.2 full"')
  await page.getByRole('button', { name: 'Add', exact: true }).click()
  await page.locator('tr', { hasText: 'to=b@*' }).getByRole('button', { name: 'Remove' }).click()
  await until(async () => (await server.v1('/rules')).rules.length === 1, 'one rule')
  assert.notEqual((await server.v1('/rules')).rules[0].expires_in, null)
  await page.getByLabel('Add a rule').fill('rcpt to=c@* nonsense')
  await page.getByRole('button', { name: 'Add', exact: true }).click()
  await page.locator('#added-error', { hasText: 'nonsense' }).waitFor()
  check()
})

test('a setting is changed, and a wrong one is named', async () => {
  const server = await serve()
  const { page, check } = await open(server, '#/behaviour')
  await page.getByPlaceholder('Find a setting').fill('session-timeout')
  const field = page.getByRole('textbox', { name: 'session_timeout' })
  await field.fill('"5s"')
  await field.press('Enter')
  await until(async () => (await server.v1('/settings')).session_timeout === '5s', 'the setting')
  await field.fill('"x"')
  await field.press('Enter')
  await page.getByText('session_timeout is unchanged').waitFor()
  check()
})

const AXE = createRequire(import.meta.url).resolve('axe-core')

for (const [name, options] of /** @type {const} */ ([
  ['light', { colorScheme: 'light' }], ['dark', { colorScheme: 'dark' }], ['a phone', { viewport: { width: 360, height: 740 } }],
])) {
  test(`axe finds nothing, nothing is wider than its window, labels do not wrap: ${name}`, async () => {
    const server = await serve(['--esmtp', '--rule', 'rcpt to=full@* reply="452 4.2.2 full"'])
    const { page, check } = await open(server, '#/mail', options)
    const audit = async (/** @type {string} */ where) => {
      if (!await page.evaluate(() => 'axe' in window)) await page.evaluate(await (await import('node:fs/promises')).readFile(AXE, 'utf8'))
      const found = await page.evaluate(() => /** @type {any} */ (window).axe.run({ iframes: false }))
      assert.deepEqual(found.violations.map((/** @type {any} */ one) => `${one.id}: ${one.nodes.map((/** @type {any} */ node) => node.html).slice(0, 3)}`), [], where)
      const widths = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth])
      assert.ok(widths[0] <= widths[1], `${where}: ${widths}`)
      const wrapped = await page.evaluate(() => [...document.querySelectorAll('button:not(.plain button), .tile b, nav a, th[scope=col], svg text')]
        .filter(node => node.getClientRects().length > 0 && node instanceof HTMLElement && node.scrollWidth > node.clientWidth + 2 && getComputedStyle(node).overflow !== 'visible')
        .map(node => node.outerHTML))
      assert.deepEqual(wrapped, [], where)
    }
    await page.getByRole('heading', { name: 'No mail yet' }).waitFor()
    await audit('without mail')
    await send(server, [{ text: 'Subject: Hello\n\nYour code is 482913 https://app.example/confirm' }, { text: 'Subject: no\n\n', to: 'full@example.com' }])
    await page.getByRole('link', { name: /Hello/ }).waitFor()
    await audit('the list')
    await page.getByRole('link', { name: /Hello/ }).click()
    await page.getByRole('heading', { name: 'Hello' }).waitFor()
    for (const tab of await page.getByRole('tab').all()) {
      await tab.click()
      await page.locator('.panel > *').first().waitFor()
      await audit(`the tab ${await tab.textContent()}`)
    }
    if (!options.viewport) {
      await page.getByLabel('Help with search').click()
      await audit('help with the search')
    }
    await page.goto(`${server.url}/#/load`)
    await page.locator('.tile').first().waitFor()
    await page.locator('.card').first().waitFor()
    await audit('the load')
    await page.goto(`${server.url}/#/behaviour`)
    await page.getByLabel('session_timeout').waitFor()
    await page.getByText('Edit all as text').click()
    await audit('the behaviour')
    check()
  })
}
