// The view of a load: its figures as of this second, over time, and as distributions; they are those of the report.

import { ApiError, change, json, query } from './api.js'
import { confirm } from './dialog.js'
import { copyButton, element, replace, setText } from './dom.js'
import { reached } from './first.js'
import { duration, grouped, number, octets, rate } from './format.js'
import { decoded } from './histogram.js'
import { brief, connection, refreshServer } from './live.js'
import { Phases } from './phases.js'
import { Plot, fromZero, logarithmic, part } from './plot.js'
import { Rows, Table } from './tables.js'
import { schedule } from './values.js'

/** @typedef {import('../types').Distribution} Distribution */
/** @typedef {import('../types').Figures} Figures */
/** @typedef {import('../types').Report} Report */
/** @typedef {import('./plot.js').Series} Series */

/** Milliseconds between two reports. */
const EVERY = 2000
/** Seconds of the plots that show the last ones. */
const RECENT = 300
/** The colours of the stages, as in the reports. */
const KINDS = {
  connect: 's8', unknown: 's9', auth: 's10', helo: 's0', mail: 's1', rcpt: 's2', data: 's3', bdat: 's3', message: 's7', rset: 's6', noop: 's5',
}
/** Ticks of a percentile spectrum: nines and texts. */
const PERCENTILES = /** @type {[number, string][]} */ ([[0, '0%'], [0.301, '50%'], [1, '90%'], [2, '99%'], [3, '99.9%'], [4, '99.99%'], [5, '99.999%'], [6, '99.9999%']])

/** @type {Report | null} */
let report = null
/** The name of the mark behind which the figures are; empty: all of them. */
let since = ''
let isShown = false
let timer = 0
/** @type {boolean} */
let isWhole = false

const phases = new Phases()
const waiting = element('p', { class: 'soft' }, 'Waiting for the first second…')
const moment = new Rows(element('div', { class: 'tiles' }), tile)
const total = new Rows(element('div', { class: 'tiles' }), tile)
const tiles = element('div', { hidden: true }, element('h2', { class: 'group' }, 'Of the last second'), moment.parent,
  element('h2', { class: 'group' }, 'Since the start'), total.parent)
const paused = element('div', { class: 'banner paused', hidden: true }, 'Paused: no connections are accepted, clients that connect wait. Open sessions go on.')
const degraded = element('div', { class: 'banner', hidden: true })
const command = element('code')
const start = element('p', { class: 'soft', hidden: true }, 'No client so far. A load of 200 messages a second: ', command, ' ', copyButton(() => command.textContent ?? '', 'Copy the command of a load'))
const noFindings = element('p', { class: 'soft' }, 'None so far: what the clients do agrees with the standards.')
const findings = new Rows(element('ul', { class: 'findings' }), () => {
  const [text, source] = [element('span'), element('small')]
  return { element: element('li', null, text, source), places: [text, source] }
})
const stageTable = new Table('Stages', ['', 'count', 'refused', 'think p50', 'think p99', 'service p50', 'service p99', 'service max'])
const refusalTable = new Table('Refusals by stage and code', ['', 'code', 'count'])
const healthTable = new Table('Health of the server', ['', 'now'])
const rates = new Plot('Messages a second')
const sessions = new Plot('Open sessions')
const times = new Plot('Times of each second')
const think = new Plot('Think time: from our previous reply to this command', { height: 260, rest: 'max ' })
const service = new Plot('Service time: from this command to our reply, without injected delay', { height: 260, rest: 'max ' })
const pause = element('button', { type: 'button', onclick: togglePause }, 'Pause')
const range = element('select', { 'aria-label': 'Time shown', onchange: () => { isWhole = range.value === 'all'; draw() } },
  element('option', { value: 'recent' }, 'the last 5 minutes'), element('option', { value: 'all' }, 'the whole run'))
const period = element('select', { 'aria-label': 'Figures since', onchange: () => { since = period.value; void load() } })
const age = element('p', { class: 'soft' })

/** @type {import('../types').View} */
export const loadView = {
  element: element('div', { class: 'page' },
    element('div', { class: 'head' }, element('h1', null, 'What the clients do'),
      element('div', { class: 'buttons' }, pause, element('button', { type: 'button', class: 'danger', onclick: stop }, 'Stop'))),
    element('div', { role: 'status' }, paused, degraded), start, waiting, tiles,
    element('div', { class: 'head' }, element('h2', null, 'Over time'), range),
    element('div', { class: 'plots' }, rates.element, sessions.element, times.element),
    element('div', { class: 'head' }, element('h2', null, 'Report'), element('div', { class: 'buttons' }, period,
      element('button', { type: 'button', onclick: mark, title: 'Begins another phase' }, 'Set a mark'))), age,
    phases.element, element('h2', null, 'Findings'), noFindings, findings.parent,
    element('div', { class: 'plots two' }, think.element, service.element),
    element('div', { class: 'columns' }, stageTable.element, refusalTable.element, healthTable.element)),
  title: 'Load',
  show() {
    isShown = true
    draw()
    void load()
  },
  hide() {
    isShown = false
    clearTimeout(timer)
  },
}

connection.watch(() => { if (isShown) draw() })
document.addEventListener('visibilitychange', () => { if (isShown && !document.hidden) void load() })

/** Asks for the report, again and again while it is seen. */
async function load() {
  clearTimeout(timer)
  if (!isShown || document.hidden) return
  try {
    const asked = since
    /** @type {Report} */
    const next = await json(`/report${query({ since })}`)
    if (asked === since) {
      report = next
      await drawReport()
    }
  } catch (problem) {
    // Marks are gone with the server that had them.
    if (since !== '' && connection.get().state === 'live') {
      since = ''
      brief('That mark is gone: these are the figures since the start.')
    }
    setText(age, `The report can’t be read: ${problem instanceof Error ? problem.message : problem}`)
  }
  clearTimeout(timer)
  timer = setTimeout(load, EVERY)
}

/** What changes each second. */
function draw() {
  const { figures, history, server } = connection.get()
  const isPaused = figures?.paused ?? server?.paused ?? false
  setText(pause, isPaused ? 'Resume' : 'Pause')
  const time = (/** @type {keyof Figures} */ name) => {
    const found = /** @type {import('../types').Percentiles | null | undefined} */ (figures?.[name])
    return found ? duration(found.p99) : '–'
  }
  const offered = perSecond(history, history.length - 1, one => one.transactions)
  waiting.hidden = figures !== null
  tiles.hidden = figures === null
  if (figures) {
    moment.update(named({
      'accepted a second': rate(figures.messages_per_second), 'offered a second': offered === null ? '–' : rate(offered), 'open sessions': number(figures.sessions_open),
      'think time, p99': time('think'), 'service time, p99': time('service'), 'lateness, p99': time('lateness'),
    }))
    total.update(named({
      'messages accepted': number(figures.messages), refused: number(figures.refused), aborted: number(figures.aborted),
      sessions: number(figures.sessions), 'accepted in all': octets(figures.bytes), 'running for': duration(figures.elapsed),
    }))
    for (const name of ['refused', 'aborted']) total.element(name)?.classList.toggle('bad', figures[/** @type {'refused' | 'aborted'} */ (name)] > 0)
  }
  paused.hidden = !isPaused
  setText(degraded, report && report.degraded.length > 0 ? `Degraded: ${grouped(report.degraded.join('; '))}.` : '')
  degraded.hidden = degraded.textContent === ''
  const listener = server?.listeners.find(one => one.protocol === 'smtp' && !one.encrypted && reached(one)?.port)
  const place = listener && reached(listener)
  start.hidden = !place || figures?.sessions !== 0
  if (place) setText(command, `smtpload ${place.host}:${place.port} --rate 200 --count 10000`)
  overTime(history)
}

/** The element of a tile. */
function tile() {
  const [value, name] = [element('b'), element('span')]
  return { element: element('div', { class: 'tile' }, value, name), places: [name, value] }
}

/** @param {Record<string, string>} values */
function named(values) {
  return Object.entries(values).map(([name, value]) => ({ key: name, texts: [name, value] }))
}

/**
 * How fast a count grows, between a second and the one before.
 * @param {Figures[]} history
 * @param {number} at
 * @param {(figures: Figures) => number} of
 */
function perSecond(history, at, of) {
  const [before, now] = [history[at - 1], history[at]]
  if (!before || !now || now.elapsed <= before.elapsed) return null
  return Math.max(0, (of(now) - of(before)) / (now.elapsed - before.elapsed))
}

/** @param {Figures[]} history */
function overTime(history) {
  const last = history.at(-1)
  const end = last?.elapsed ?? report?.runs[0]?.ends_s ?? 1
  const begin = isWhole ? report?.runs[0]?.begins_s ?? 0 : Math.max(0, end - RECENT)
  const first = history[0]?.elapsed ?? Infinity
  const before = earlier().filter(one => one.ends <= first)
  const x = part(begin, end, 'into the run', clock)
  const within = (/** @type {[number, number | null][]} */ points) =>
    /** @type {[number, number][]} */ (points.filter(([at, value]) => at >= begin && value !== null))
  const counted = (/** @type {string} */ name, /** @type {string} */ kind, /** @type {(one: Earlier) => number | null} */ was, /** @type {(figures: Figures) => number} */ of) => ({
    name, kind, points: within([...before.map(one => /** @type {[number, number | null]} */ ([one.at, was(one)])),
      ...history.map((one, at) => /** @type {[number, number | null]} */ ([(one.elapsed + (history[at - 1] ?? one).elapsed) / 2, perSecond(history, at, of)]))]),
  })
  const all = [
    counted('accepted', 's1', one => one.messages, one => one.messages),
    counted('offered', 's8', () => null, one => one.transactions),
    counted('refused', 's5', () => null, one => one.refused),
  ]
  const marks = report ? phases.places(report) : []
  rates.update(x, fromZero(highest(all), 'a second', rate), all, marks)
  const open = [{ name: 'open', kind: 's7', points: within([...before.map(one => /** @type {[number, number]} */ ([one.at, one.open])),
    ...history.map(one => /** @type {[number, number]} */ ([one.elapsed, one.sessions_open]))]) }]
  sessions.update(x, fromZero(highest(open), 'sessions', number, 1), open, marks)
  /** @type {[string, string, 'think' | 'service' | 'lateness', 'p50' | 'p99'][]} */
  const kinds = [['think p50', 's6', 'think', 'p50'], ['think p99', 's0', 'think', 'p99'], ['service p50', 's2', 'service', 'p50'],
    ['service p99', 's5', 'service', 'p99'], ['lateness p99', 's3', 'lateness', 'p99']]
  const spans = kinds.map(([name, kind, of, quantile]) => ({ name, kind, points: within(history.map(one => [one.elapsed, one[of]?.[quantile] ?? null])) }))
    .filter(one => one.points.length > 0)
  times.update(x, logarithmic(spans.flatMap(one => one.points.map(point => point[1])), 'time', duration), spans, marks)
}

/** @typedef {{ at: number, ends: number, messages: number, open: number }} Earlier */

/** What the report has of the time before this page was open. */
function earlier() {
  if (!report) return []
  const { interval_s: length, intervals } = report.timeline
  let open = report.runs[0]?.open_before ?? 0
  /** @type {Earlier[]} */
  const all = []
  const end = report.runs[0]?.ends_s ?? 0
  for (const { at_s: at, messages, opened, closed } of intervals) {
    // Intervals without an event are left out where nothing was before or behind them; within, they are there.
    const ends = at + length
    // One that is not over would look like a drop.
    if (ends > end) break
    open += opened - closed
    all.push({ at: ends - length / 2, ends, messages: messages / length, open })
  }
  return all
}

/** @param {Series[]} all */
function highest(all) {
  return all.reduce((most, one) => one.points.reduce((own, point) => Math.max(own, point[1]), most), 1)
}

/** @param {number} seconds */
function clock(seconds) {
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60), Math.floor(seconds % 60)]
  const two = (/** @type {number} */ value) => String(value).padStart(2, '0')
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`
}

/** What changes with the report. */
async function drawReport() {
  const shown = report
  if (!shown) return
  const run = shown.runs[0]
  setText(age, run ? `Figures of ${duration(run.ends_s - run.begins_s)} up to ${new Date(run.ends_at).toLocaleTimeString('en-GB')}${since && `, since the mark ${since}`}. Seed ${run.seed}.` : '')
  offerMarks()
  phases.current(shown, since)
  const [thinking, serving] = await Promise.all([curves(shown, 'think'), curves(shown, 'service')])
  if (shown !== report) return
  schedule(() => {
    spectrum(think, thinking)
    spectrum(service, serving)
    noFindings.hidden = shown.findings.length > 0
    findings.update(shown.findings.map(({ text, reference, name }) => ({ key: name, texts: [grouped(text), [name, reference].filter(Boolean).join(', ')] })))
    stageTable.update(stages(shown))
    refusalTable.update(refusals(shown))
    healthTable.update(health(shown))
  })
}

/**
 * @param {Report} of
 * @param {string} figure
 * @returns {Promise<(Series & { count: number })[]>}
 */
async function curves(of, figure) {
  const own = Object.entries(of.metrics).filter(([name]) => name.startsWith(`${figure}.`))
  const all = await Promise.all(own.map(async ([name, value]) => {
    const histogram = await decoded(value)
    const stage = name.slice(figure.length + 1)
    return histogram && histogram.count > 0 && {
      name: stage, kind: KINDS[/** @type {keyof typeof KINDS} */ (stage)] ?? 's4', count: histogram.count,
      points: histogram.spectrum().map(([nines, value]) => /** @type {[number, number]} */ ([nines, value / 1e6])),
    }
  }))
  return all.filter(one => one !== null && one !== false)
}

/**
 * @param {Plot} plot
 * @param {(Series & { count: number })[]} curves
 */
function spectrum(plot, curves) {
  plot.element.hidden = curves.length === 0
  if (curves.length === 0) return
  const nines = Math.log10(Math.max(10, ...curves.map(curve => curve.count)))
  const x = { low: 0, high: nines, ticks: PERCENTILES.filter(([at]) => at <= nines), title: 'percentile', show: String }
  plot.update(x, logarithmic(curves.flatMap(curve => curve.points.map(point => point[1])), 'time', duration), curves)
}

/** @param {Report} of */
function stages(of) {
  const at = (/** @type {string} */ name, /** @type {'p50' | 'p99' | 'max'} */ quantile) => {
    const found = of.metrics[name]
    const value = found && typeof found === 'object' ? found[quantile] : null
    return value === null ? '–' : duration(value / 1e6)
  }
  const names = Object.keys(of.metrics).filter(name => name.startsWith('count.') && Number(of.metrics[name]) > 0).map(name => name.slice(6))
  return names.map(stage => ({ key: stage, texts: [
    stage, number(Number(of.metrics[`count.${stage}`])), number(Number(of.metrics[`refused.${stage}`] ?? 0)),
    at(`think.${stage}`, 'p50'), at(`think.${stage}`, 'p99'), at(`service.${stage}`, 'p50'), at(`service.${stage}`, 'p99'), at(`service.${stage}`, 'max')] }))
}

/** @param {Report} of */
function refusals(of) {
  const rows = Object.entries(of.refused).flatMap(([stage, codes]) => Object.entries(codes).map(([code, count]) => ({ stage, code, count })))
  rows.sort((one, other) => other.count - one.count)
  return rows.map(({ stage, code, count }) => ({ key: `${stage} ${code}`, texts: [stage, code, number(count)] }))
}

/** @param {Report} of */
function health(of) {
  const count = (/** @type {string} */ name) => Number(of.metrics[name] ?? 0)
  const at = (/** @type {string} */ name, /** @type {'p50' | 'p99' | 'max'} */ quantile) => {
    const found = /** @type {Distribution | null | undefined} */ (of.metrics[name])
    return found?.[quantile] === null || found?.[quantile] === undefined ? '–' : duration(found[quantile] / 1e6)
  }
  return named({
    'a turn of the event loop, p99': at('loop.turns', 'p99'),
    'the longest turn': at('loop.turns', 'max'),
    'lateness of delays, p99': at('delay.lateness', 'p99'),
    'delays that were too short': number(count('delay.early')),
    'connections dropped by a full accept queue': number(count('loop.accept_queue_overflows')),
    'pauses of accepting for lack of descriptors': number(count('loop.accept_rests')),
    'records evicted': number(count('records.evicted')),
    'log entries dropped': number(count('log.dropped')),
  })
}

function offerMarks() {
  const names = phases.marks()
  if (period.options.length === names.length + 1) return
  replace(period, element('option', { value: '' }, 'since the start'), names.map(name => element('option', { value: name }, `since mark ${name}`)))
  period.value = since
}

async function mark() {
  since = await phases.mark()
  offerMarks()
  await load()
}

async function togglePause() {
  const isPaused = connection.get().figures?.paused ?? connection.get().server?.paused
  await change('POST', isPaused ? '/resume' : '/pause')
  const { figures } = connection.get()
  if (figures) figures.paused = !isPaused
  await refreshServer()
}

async function stop() {
  if (!await confirm('Stop the server?', 'The program ends, as by SIGTERM: sessions may end their mails, reports are written, and this page has no server any more.', 'Stop')) return
  // It may be gone before its reply is read.
  await change('POST', '/stop').catch(problem => {
    if (!(problem instanceof ApiError && problem.status === 0)) throw problem
  })
  brief('The server is being stopped.')
}
