// Requests to `/v1`, and the stream of its events.

/** @typedef {import('../types').Fault} Fault */

const TOKEN = 'smtpmock-token'

/** What the server has refused; its status is 0 where it can't be reached. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {Fault} fault
   */
  constructor(status, fault) {
    super(fault.hint || fault.reason)
    this.status = status
    this.fault = fault
  }
}

/** @type {(isWrong: boolean) => Promise<string>} */
let askToken = () => Promise.reject(new Error('a token is needed'))
/** @type {Promise<void> | null} */
let asking = null

/**
 * Asks the user for a token by this; whether the one before was not accepted.
 * @param {(isWrong: boolean) => Promise<string>} ask
 */
export function onTokenNeeded(ask) {
  askToken = ask
}

/**
 * Sends a request; where a token is needed, it asks for one. The token is sent by a field, so streams are read in this way too:
 * an EventSource can't send fields.
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<Response>}
 */
export async function send(path, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem(TOKEN)
    const headers = new Headers(options.headers)
    if (token) headers.set('Authorization', `Bearer ${token}`)
    const response = await fetch(`/v1${path}`, { ...options, headers }).catch(problem => {
      throw problem instanceof TypeError ? new ApiError(0, { reason: 'unreachable', at: '', hint: 'the server can’t be reached' }) : problem
    })
    if (response.ok) return response
    const fault = await faultOf(response)
    if (response.status !== 401) throw new ApiError(response.status, fault)
    // Another request may have asked meanwhile.
    if (sessionStorage.getItem(TOKEN) !== token) continue
    asking ??= askToken(token !== null).then(given => sessionStorage.setItem(TOKEN, given)).finally(() => { asking = null })
    await asking
  }
}

/**
 * @param {Response} response
 * @returns {Promise<Fault>}
 */
async function faultOf(response) {
  try {
    return (await response.json()).error
  } catch {
    return { reason: 'status', at: '', hint: `the server answered ${response.status}` }
  }
}

/**
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<any>}
 */
export async function json(path, options) {
  return (await send(path, options)).json()
}

/**
 * Sends a value, or nothing.
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 */
export function change(method, path, body) {
  if (body === undefined) return json(path, { method })
  return json(path, { method, body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } })
}

/**
 * Parameters as a query; empty ones are left out.
 * @param {Record<string, string | number | boolean | null | undefined>} parameters
 */
export function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== '' && value !== null && value !== undefined)
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString()
  return text && `?${text}`
}

/**
 * The events of the server until it ends, or `signal` aborts. One that sends nothing for so long is gone.
 * @param {string} types
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<{ name: string, data: any }>}
 */
export async function* events(types, signal) {
  const controller = new AbortController()
  signal.addEventListener('abort', () => controller.abort())
  const response = await send(`/events${query({ types })}`, { signal: controller.signal })
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader()
  const decoder = new TextDecoder()
  let rest = ''
  for (;;) {
    const silence = setTimeout(() => controller.abort(), 30_000)
    const { done, value } = await reader.read().finally(() => clearTimeout(silence))
    if (done) return
    const frames = (rest + decoder.decode(value, { stream: true })).split('\n\n')
    rest = frames.pop() ?? ''
    for (const frame of frames) {
      const event = parsed(frame)
      if (event) yield event
    }
  }
}

/** @param {string} frame */
function parsed(frame) {
  let [name, data] = ['', '']
  for (const line of frame.split('\n')) {
    if (line.startsWith('event: ')) name = line.slice(7)
    if (line.startsWith('data: ')) data = line.slice(6)
  }
  return data ? { name, data: JSON.parse(data) } : null
}
