// The forms of what `/v1` sends, as far as the page uses them; `src/http/api/openapi.json` describes all.

export interface Fault { reason: string; at: string; hint: string }

export interface Address { name: string | null; address: string }
export interface Parameter { name: string; value: string | null }
export interface Recipient { address: string; parameters: Parameter[]; accepted: boolean; reply: string }
export interface Envelope { helo: string | null; from: string | null; parameters: Parameter[]; to: Recipient[] }
export interface Tls { version: string; cipher_suite: string; server_name: string | null; resumed: boolean }

export interface Summary {
  id: string; session: number; accepted: boolean; accepted_at: string | null; connected_at: string
  protocol: string; peer_addr: string; user: string | null; inboxes: string[]; tls: Tls | null
  envelope: Envelope
  from: Address[]; to: Address[]; cc: Address[]; bcc: Address[]; reply_to: Address[]
  subject: string | null; message_id: string | null; size: number; attachments: number; snippet: string
}

export interface Part {
  number: number; content_type: string; charset: string | null; name: string | null
  kind: string; content_id: string | null; size: number
}

export interface Turn { stage: string; at: string | null; request: string; reply: string | null }

export interface Detail extends Summary {
  local_addr: string; proxy_addr: string | null; mechanism: string | null; date: string | null
  headers: { name: string; value: string }[]
  text: string | null; html: string | null; html_view: string | null
  parts: Part[]; dialogue: Turn[]
}

export interface List { messages: Summary[]; next: string | null; total: number; evicted: number }
export interface Deleted { deleted: number; messages?: Detail[]; remaining?: number }
export interface Link { href: string; text: string; part: string }

export interface Listener { protocol: string; encrypted: boolean; address: string; inbox: string | null }

export interface Server {
  version: string; started_at: string | null; paused: boolean; serving: boolean; seed: string
  listeners: Listener[]; tls_ca: string | null; command: string[]
}

export interface Percentiles { p50: number; p99: number; max: number }

export interface Figures {
  elapsed: number; messages_per_second: number; sessions_per_second: number
  sessions_open: number; sessions: number; transactions: number; messages: number; refused: number
  aborted: number; bytes: number; retained: number; paused: boolean
  think: Percentiles | null; service: Percentiles | null; lateness: Percentiles | null
}

export interface Rule { id: string | null; rule: string; reached: number; fired: number; expires_in: string | null }

export interface Distribution {
  unit: string; count: number; min: number | null; mean: number | null; max: number | null
  p50: number | null; p90: number | null; p99: number | null; 'p99.9': number | null
  histogram: string | null
}

export interface Interval { at_s: number; opened: number; closed: number; messages: number; refused: number }

export interface Report {
  runs: { started_at: string; begins_s: number; ends_s: number; ends_at: string; open_before: number; seed: number }[]
  metrics: Record<string, number | Distribution | null>
  refused: Record<string, Record<string, number>>
  timeline: { interval_s: number; intervals: Interval[] }
  degraded: string[]
  findings: { name: string; text: string; reference: string }[]
}

export interface Mark { id: string; at: string }

/** Settings by name. */
export type Settings = Record<string, unknown>

/** Which messages the list shows. */
export interface Filter { query: string; inbox: string; accepted: string }

/** What is known of the connection. */
export interface Connection {
  state: 'connecting' | 'live' | 'lost'
  figures: Figures | null
  server: Server | null
  /** The last seconds, the newest last. */
  history: Figures[]
}

export interface View {
  element: HTMLElement
  title: string
  show(segments: string[], parameters: URLSearchParams): void
  hide(): void
}
