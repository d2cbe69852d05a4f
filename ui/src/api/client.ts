// The way to the REST API: one function, one kind of failure.

export interface FieldError {
	path: string
	message: string
}

/** A refusal of the API (RFC 9457), or no answer at all (status 0). */
export class Problem extends Error {
	constructor(
		readonly status: number,
		detail: string,
		readonly errors: FieldError[] = [],
		readonly code = "",
		readonly unit = "",
	) {
		super(detail)
	}
}

export interface Answer<T> {
	data: T
	/** Revision of the document that the answer is about; 0 where it does not say. */
	revision: number
}

export interface Call {
	method?: "GET" | "POST" | "PUT" | "DELETE"
	query?: Record<string, string | number | undefined>
	body?: unknown
	/** Refuse (412) unless this is still the document's revision. */
	ifRevision?: number
	signal?: AbortSignal
	/** Most answers are JSON; some are text. */
	as?: "json" | "text"
}

let csrf = ""
let onSignedOut = () => {}

/** The token of the present session, sent with everything but GET. */
export function setCSRF(token: string): void {
	csrf = token
}

/** Called when the API says that nobody is signed in any more. */
export function whenSignedOut(fn: () => void): void {
	onSignedOut = fn
}

export async function call<T>(path: string, c: Call = {}): Promise<Answer<T>> {
	const url = new URL(path, location.origin)
	for (const [k, v] of Object.entries(c.query ?? {})) {
		if (v !== undefined && v !== "") url.searchParams.set(k, String(v))
	}
	const headers: Record<string, string> = {}
	if (c.method && c.method !== "GET" && csrf) headers["X-CSRF-Token"] = csrf
	if (c.body !== undefined) headers["Content-Type"] = "application/json"
	if (c.ifRevision) headers["If-Match"] = `"${c.ifRevision}"`
	let r: Response
	try {
		r = await fetch(url, {
			method: c.method ?? "GET",
			headers,
			body: c.body === undefined ? undefined : JSON.stringify(c.body),
			signal: c.signal,
			credentials: "same-origin",
		})
	} catch (err) {
		if (c.signal?.aborted) throw err
		throw new Problem(0, "The cell does not answer. Is it running, and is this device on its network?")
	}
	if (!r.ok) {
		const p = await readProblem(r)
		if (r.status === 401 && !path.startsWith("/api/auth/")) onSignedOut()
		throw p
	}
	const text = r.status === 204 ? "" : await r.text()
	const data = (c.as === "text" ? text : text ? JSON.parse(text) : undefined) as T
	return { data, revision: revisionOf(r.headers.get("ETag")) }
}

export function revisionOf(etag: string | null): number {
	const m = /^(?:W\/)?"(\d+)"$/.exec(etag ?? "")
	return m ? Number(m[1]) : 0
}

async function readProblem(r: Response): Promise<Problem> {
	try {
		const p = await r.json()
		return new Problem(
			r.status,
			sentence(p.detail || p.title || r.statusText),
			p.errors ?? [],
			p.code,
			p.unit,
		)
	} catch {
		return new Problem(r.status, `The cell answered ${r.status} without saying why. Its log may tell more.`)
	}
}

/** Errors of the cell begin in lower case; on a page they are sentences. */
export function sentence(s: string): string {
	if (!s) return s
	const head = /^[a-z]+[.[]/.test(s) ? s : s[0]!.toUpperCase() + s.slice(1)
	return /[.!?]$/.test(head) ? head : `${head}.`
}

export function textOf(err: unknown): string {
	return err instanceof Error ? err.message : String(err)
}

/** What a failure says about one field, by its path. */
export function errorAt(err: unknown, path: string): string | undefined {
	if (!(err instanceof Problem)) return undefined
	const e = err.errors.find((e) => e.path === path)
	return e && sentence(e.message)
}

/** Whether the failure is told completely by messages beside the fields. */
export function toldByFields(err: unknown, paths: readonly string[]): boolean {
	return err instanceof Problem && err.errors.length > 0 && err.errors.every((e) => paths.includes(e.path))
}
