// The view of the behaviour, in a real browser, while a load runs; and what all views have in common.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { load, open, send, serve, until } from './support.js'

/** @param {string | null | undefined} text */
const number = text => Number((text ?? '').replace(/[^\d.]/g, ''))

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

test('of equal rules the one is removed whose button it was, and the command line follows', async () => {
  const [full, other] = ['rcpt to=a@* reply="452 4.2.2 full"', 'rcpt to=b@* reply="452 4.2.2 full"']
  const server = await serve([full, other, full].flatMap(rule => ['--rule', rule]))
  const { page, check } = await open(server, '#/behaviour')
  await page.getByRole('button', { name: `Remove the rule ${full}` }).nth(1).click()
  await until(async () => (await server.v1('/rules')).rules.length === 2, 'two rules')
  assert.deepEqual((await server.v1('/rules')).rules.map((/** @type {any} */ one) => one.rule), [full, other])
  const command = page.getByLabel('The command line', { exact: true })
  await until(async () => (await command.textContent())?.split('--rule').length === 3, 'a command with two rules')
  const json = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ rule: 'rcpt to=c@* reply="452 4.2.2 full"', ttl: '9m' }) }
  await server.v1('/rules', json)
  await command.getByText('to=c@*').waitFor()
  await page.getByText('A rule that expires here is there as one that stays').waitFor()
  check()
})

test('a setting is changed, a wrong one is named at its place, and those of others are shown', async () => {
  const server = await serve()
  const { page, check } = await open(server, '#/behaviour')
  const field = page.getByRole('textbox', { name: 'session_timeout' })
  await field.fill('5s')
  await field.press('Enter')
  await until(async () => (await server.v1('/settings')).session_timeout === '5s', 'the setting')
  await until(async () => await field.inputValue() === '"5s"', 'it as JSON')
  await server.v1('/settings', { method: 'PATCH', headers: { 'Content-Type': 'application/json' }, body: '{"session_timeout":"9s"}' })
  await until(async () => await field.inputValue() === '"9s"', 'that of another client')
  await field.fill('"x"')
  await field.press('Enter')
  await page.locator('tr', { has: field }).getByText('session_timeout is unchanged').waitFor()
  await page.getByPlaceholder('Find a setting').fill('session-timeout')
  await until(async () => await page.locator('.settings tbody tr:visible').count() === 1, 'one that is found')
  assert.equal(await field.inputValue(), '"x"', 'an edit stays')
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
      const heights = await page.evaluate(() => [...document.querySelectorAll('.tile span')].map(node => node.getBoundingClientRect().height))
      assert.ok(heights.every(height => height < 30), `${where}: a name of a figure wraps: ${heights}`)
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
    await page.locator('.card:visible').first().waitFor()
    await audit('the load')
    await page.goto(`${server.url}/#/behaviour`)
    await page.getByLabel('session_timeout').waitFor()
    await page.getByText('Edit all as text').click()
    await audit('the behaviour')
    check()
  })
}
