// Values that are watched. Watchers run with the next frame, once however often the value has changed; in a tab in the background
// there are no frames, and nothing is done until it is seen.

/** @type {Set<() => void>} */
const due = new Set()
let isScheduled = false

/**
 * Runs this with the next frame.
 * @param {() => void} run
 */
export function schedule(run) {
  due.add(run)
  if (isScheduled) return
  isScheduled = true
  requestAnimationFrame(() => {
    isScheduled = false
    const now = [...due]
    due.clear()
    for (const each of now) each()
  })
}

/** @template T */
export class Value {
  /** @type {Set<() => void>} */
  #watchers = new Set()
  #value

  /** @param {T} value */
  constructor(value) {
    this.#value = value
  }

  get() {
    return this.#value
  }

  /** @param {T} value */
  set(value) {
    this.#value = value
    this.changed()
  }

  /** Has watchers run. */
  changed() {
    for (const watcher of this.#watchers) schedule(watcher)
  }

  /**
   * Calls this with the next frame, and after each change.
   * @param {(value: T) => void} watcher
   */
  watch(watcher) {
    const run = () => watcher(this.#value)
    this.#watchers.add(run)
    schedule(run)
  }
}
