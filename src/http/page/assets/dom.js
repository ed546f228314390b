// Elements of the page. Texts come from senders: they are only ever set as text, never as markup.

/** @typedef {Node | string | number | null | undefined | false} Child */
/** @typedef {Record<string, string | number | boolean | null | undefined | EventListener | ((event: any) => void)>} Attributes */

/**
 * An element with attributes, listeners (`onclick`), and children. An attribute that is false or null is left out.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Attributes | null} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function element(tag, attributes, ...children) {
  const made = document.createElement(tag)
  fill(made, attributes ?? {}, children)
  return made
}

/**
 * The same for SVG.
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} tag
 * @param {Attributes | null} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function svg(tag, attributes, ...children) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag)
  fill(made, attributes ?? {}, children)
  return made
}

/**
 * @param {Element} made
 * @param {Attributes} attributes
 * @param {(Child | Child[])[]} children
 */
function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue
    if (typeof value === 'function') made.addEventListener(name.replace(/^on/, ''), /** @type {EventListener} */ (value))
    else made.setAttribute(name, value === true ? '' : String(value))
  }
  made.append(...nodes(children))
}

/**
 * @param {(Child | Child[])[]} children
 * @returns {(Node | string)[]}
 */
function nodes(children) {
  return children.flat().flatMap(child =>
    child === null || child === undefined || child === false ? [] : [typeof child === 'number' ? String(child) : child])
}

/**
 * Replaces all children.
 * @param {Element} parent
 * @param {...(Child | Child[])} children
 */
export function replace(parent, ...children) {
  parent.replaceChildren(...nodes(children))
}

/**
 * Sets a text, if it is another one.
 * @param {Node} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text
}

/**
 * A button that copies a text.
 * @param {string | (() => string)} text
 * @param {string} label
 * @param {string} [shown]
 */
export function copyButton(text, label, shown = 'Copy') {
  const button = element('button', { type: 'button', class: 'small', 'aria-label': label, title: label }, shown)
  button.addEventListener('click', async () => {
    const done = await copy(typeof text === 'string' ? text : text())
    button.textContent = done ? 'Copied' : 'Press Ctrl+C'
    announce(done ? 'Copied' : 'Not copied')
    setTimeout(() => { button.textContent = shown }, 1500)
  })
  return button
}

/**
 * @param {string} text
 * @returns {Promise<boolean>}
 */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    // Outside of a secure context, as by the name of another machine, there is no clipboard.
    const area = element('textarea', { class: 'offscreen', 'aria-hidden': 'true' })
    area.value = text
    document.body.append(area)
    area.select()
    const done = document.execCommand('copy')
    area.remove()
    return done
  }
}

/**
 * Says something to those who do not see the page.
 * @param {string} text
 */
export function announce(text) {
  const region = document.getElementById('announcer')
  if (region) region.textContent = text
}

/**
 * A text made visible: control characters and those that change the direction have names.
 * @param {string} text
 */
export function visible(text) {
  return text.replaceAll('\r\n', '\n').replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]/g,
    found => `\u27e8U+${(found.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}\u27e9`)
}

/**
 * Saves octets as a file.
 * @param {Blob} content
 * @param {string} name
 */
export function save(content, name) {
  const url = URL.createObjectURL(content)
  const link = element('a', { href: url, download: name.replace(/[/\\]/g, '_') })
  document.body.append(link)
  link.click()
  link.remove()
  setTimeout(() => URL.revokeObjectURL(url), 10_000)
}
