// The view of a load, in a real browser, while one runs.

import assert from 'node:assert/strict'
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

const figures = (/** @type {import('playwright-core').Page} */ page) =>
  page.evaluate(async () => (await import(/** @type {any} */ ('/page/live.js'))).connection.get().figures?.elapsed ?? 0)

/** Waits for figures and reports of the next seconds. */
const seconds = async (/** @type {import('playwright-core').Page} */ page, /** @type {number} */ count) => {
  const from = await until(() => figures(page), 'the first figures')
  await until(async () => await figures(page) > from + count, `${count} seconds`)
}

test('what is read, scrolled or pointed at stays so while a load goes on, and nothing is announced again and again', async () => {
  const server = await serve(['--esmtp', '--rule', 'rcpt odds=10% reply="452 4.2.2 full"'])
  const { page, check } = await open(server, '#/load', { viewport: { width: 375, height: 700 } })
  const ended = load(server, ['--count', '4000', '-c', '4', '--rate', '400'])
  const stages = page.getByRole('region', { name: 'Stages' })
  const mail = stages.locator('tr', { has: page.getByRole('rowheader', { name: 'mail', exact: true }) }).locator('td').first()
  await until(async () => number(await mail.textContent()) > 0, 'stages')
  await page.locator('#speed', { hasText: 'messages/s' }).waitFor()
  await stages.focus()
  const count = await mail.textContent()
  await stages.evaluate(node => {
    node.scrollLeft = 120
    getSelection()?.selectAllChildren(/** @type {Node} */ (node.querySelector('tbody th')))
    Object.assign(window, { announced: 0 })
    const watcher = new MutationObserver(() => { /** @type {any} */ (window).announced += 1 })
    for (const region of document.querySelectorAll('#state, #notices')) watcher.observe(region, { childList: true, characterData: true, subtree: true })
  })
  await until(async () => await mail.textContent() !== count, 'another report')
  assert.deepEqual(await stages.evaluate(node => [document.activeElement === node, node.scrollLeft, String(getSelection())]),
    [true, 120, await stages.locator('tbody th').first().textContent()])
  const plot = page.locator('figure', { hasText: 'Messages a second' }).locator('svg[role=img]')
  await plot.scrollIntoViewIfNeeded()
  await plot.hover()
  const cursor = plot.locator('line[visibility]')
  await until(async () => await cursor.getAttribute('visibility') === 'visible', 'the cursor')
  await seconds(page, 2)
  assert.equal(await cursor.getAttribute('visibility'), 'visible', 'the pointer has not moved')
  assert.equal(await page.evaluate(() => /** @type {any} */ (window).announced), 0)
  // On a phone all of this table can be read.
  const health = page.getByRole('region', { name: 'Health of the server' })
  assert.deepEqual(await health.evaluate(node => node.scrollWidth - node.clientWidth), 0)
  await ended
  check()
})

test('a page that is loaded again has its lines, and a second that is not over is not drawn', async () => {
  const server = await serve(['--esmtp'])
  const { page, check } = await open(server, '#/load')
  await page.getByText('Waiting for the first second').or(page.locator('.tile').first()).first().waitFor()
  await page.getByText(`smtpload ${server.smtp} --rate 200`).waitFor()
  const ended = load(server, ['--count', '2000', '-c', '4', '--rate', '200'])
  await seconds(page, 3)
  const points = async (/** @type {string} */ kind) =>
    (await page.locator('figure', { hasText: 'Messages a second' }).locator(`polyline.${kind}`).getAttribute('points') ?? '').split(' ').filter(Boolean).map(point => point.split(',').map(Number))
  const before = (await points('s8')).length
  assert.ok(before >= 2, 'offered')
  await page.reload()
  await seconds(page, 1)
  assert.ok((await points('s8')).length > before, 'offered before it was loaded again')
  await ended
  // As a page has it that is opened within a second of a load.
  await page.evaluate(() => addEventListener('pagehide', () => sessionStorage.clear()))
  await page.route('**/v1/events*', route => route.abort())
  await page.route('**/v1/report*', async route => {
    const report = await (await route.fetch()).json()
    const at = (/** @type {number} */ at_s, /** @type {number} */ messages) => ({ at_s, opened: 0, closed: 0, messages, refused: 0 })
    report.timeline = { interval_s: 1, intervals: [at(0, 200), at(1, 200), at(2, 200), at(3, 4)] }
    report.runs[0] = { ...report.runs[0], begins_s: 0, ends_s: 3.02 }
    await route.fulfill({ json: report })
  })
  await page.reload()
  await until(async () => (await points('s1')).length > 0, 'what the report has')
  const heights = (await points('s1')).map(([, y]) => y)
  assert.deepEqual(heights, Array(3).fill(heights[0]))
  check(/net::|aborted|ERR_FAILED/)
})

test('numbers are written as in the reports', async () => {
  const server = await serve()
  const { page, check } = await open(server, '#/load')
  assert.deepEqual(await page.evaluate(async () => {
    const { duration, grouped, octets } = await import(/** @type {any} */ ('/page/format.js'))
    return [duration(0.0140001), duration(0.086), duration(0.0048149), octets(2_528_000), grouped('4326 of 13649 messages, RFC 5321 section 4.5.3.2.1, 2026-11-27')]
  }), ['14.0\u00a0ms', '86\u00a0ms', '4.81\u00a0ms', '2.41\u00a0MiB', '4,326 of 13,649 messages, RFC 5321 section 4.5.3.2.1, 2026-11-27'])
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
  await page.getByText('10,000 messages', { exact: true }).waitFor()
  await page.getByText('5,000 older records evicted').waitFor()
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
  await until(async () => (await phases.last().textContent())?.startsWith('since mark 1, up to now'), 'its name')
  await page.locator('figure', { hasText: 'Open sessions' }).getByText('mark 1', { exact: true }).waitFor()
  await page.getByRole('button', { name: 'Pause' }).click()
  await page.getByText('Paused: no connections').waitFor()
  await page.locator('.state.paused').waitFor()
  assert.equal((await fetch(`${server.url}/readyz`)).status, 503)
  await page.getByRole('button', { name: 'Resume' }).click()
  await until(async () => (await fetch(`${server.url}/readyz`)).status === 200, 'a server that goes on')
  await page.getByRole('button', { name: 'Stop' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Stop' }).click()
  await page.getByText('Connection lost').waitFor()
  await until(() => server.process.exitCode === 0, 'the end of the program')
  check(/net::/)
})
