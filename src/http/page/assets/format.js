// Numbers, durations and times as texts.

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 })
const one = new Intl.NumberFormat('en-US', { maximumFractionDigits: 1 })
const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' })
const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' })
const full = new Intl.DateTimeFormat('en-GB', {
  weekday: 'short', day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit',
})

/** @param {number} count */
export function number(count) {
  return whole.format(count)
}

/**
 * A count with its word: `1 message`, `1,200 messages`.
 * @param {number} count
 * @param {string} word
 */
export function counted(count, word) {
  return `${number(count)}\u00a0${word}${count === 1 ? '' : 's'}`
}

/**
 * A text of the server with a comma between the thousands of its counts, but not in the numbers of standards.
 * @param {string} text
 */
export function grouped(text) {
  return text.replace(/(?<![\w.,:/-]|RFC )\d{4,}(?![\w:/-]|\.\d)/g, digits => whole.format(BigInt(digits)))
}

/** @param {number} perSecond */
export function rate(perSecond) {
  return perSecond < 10 ? one.format(perSecond) : whole.format(perSecond)
}

/** @param {number} octets */
export function octets(octets) {
  if (octets < 1024) return `${octets}\u00a0B`
  const units = ['KiB', 'MiB', 'GiB', 'TiB']
  let [value, unit] = [octets / 1024, 0]
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${three(value)}\u00a0${units[unit]}`
}

/**
 * Three digits, as in the reports; a whole value has no fraction.
 * @param {number} value
 */
function three(value) {
  if (Number.isInteger(Number(value.toPrecision(12)))) return whole.format(value)
  return value >= 99.95 ? whole.format(value) : value.toFixed(value >= 9.995 ? 1 : 2)
}

/**
 * A duration in the unit that fits.
 * @param {number} seconds
 */
export function duration(seconds) {
  if (seconds <= 0) return '0'
  if (seconds < 0.001) return `${three(seconds * 1e6)}\u00a0µs`
  if (seconds < 1) return `${three(seconds * 1e3)}\u00a0ms`
  if (seconds < 120) return `${three(seconds)}\u00a0s`
  if (seconds < 7200) return `${Math.floor(seconds / 60)}\u00a0min ${Math.floor(seconds % 60)}\u00a0s`
  return `${Math.floor(seconds / 3600)}\u00a0h ${Math.floor((seconds % 3600) / 60)}\u00a0min`
}

/**
 * Seconds of a duration as the server writes it, like `29.5s` or `1m`.
 * @param {string} text
 */
export function seconds(text) {
  const found = /^([\d.]+)\s*(ns|us|µs|ms|s|m|min|h)$/.exec(text)
  const units = { ns: 1e-9, us: 1e-6, 'µs': 1e-6, ms: 1e-3, s: 1, m: 60, min: 60, h: 3600 }
  return found ? Number(found[1]) * units[/** @type {keyof typeof units} */ (found[2])] : 0
}

/**
 * Seconds from one moment to another, to the microsecond that the server writes.
 * @param {string} from
 * @param {string} to
 */
export function elapsed(from, to) {
  const micros = (/** @type {string} */ at) => Number(/\.\d{3}(\d{3})/.exec(at)?.[1] ?? 0)
  return (Date.parse(to) - Date.parse(from)) / 1e3 + (micros(to) - micros(from)) / 1e6
}

/**
 * The time of today, or the day.
 * @param {string} at
 */
export function shortTime(at) {
  const date = new Date(at)
  return date.toDateString() === new Date().toDateString() ? clock.format(date) : day.format(date)
}

/** @param {string} at */
export function fullTime(at) {
  return full.format(new Date(at))
}

/** @param {string} at */
export function clockTime(at) {
  return clock.format(new Date(at))
}

/**
 * An argument of a shell.
 * @param {string} text
 */
export function quoted(text) {
  if (/^[\w@%+=:,./-]+$/.test(text)) return text
  const [, flag = '', value = text] = /^(--[\w-]+=)(.*)$/s.exec(text) ?? []
  return `${flag}'${value.replaceAll("'", "'\\''")}'`
}
