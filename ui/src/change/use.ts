import { useMutation, useQueryClient } from "@tanstack/react-query"
import { useSyncExternalStore } from "react"
import { call, Problem, sentence } from "../api/client"
import { useDocument, useSession } from "../api/hooks"
import type { Document, Outcome } from "../api/types"
import { toast } from "../kit/toast"
import { t } from "../kit/words"
import { applied, confirmSeconds, draftOf, errorFor, noDrafts, setDraft, store, toSend } from "./drafts"

export function useChange() {
	return useSyncExternalStore(store.watch, store.get)
}

export interface Bound<V> {
	value: V
	set: (v: V) => void
	error: string | undefined
	changed: boolean
}

/** A value of the document, edited as a draft. stored is what the document says. */
export function useDraft<V>(path: string, stored: V, empty: V): Bound<V> {
	const { drafts, errors } = useChange()
	const doc = useDocument().data
	const message = errorFor(errors, path)
	return {
		value: draftOf(drafts, path, stored, empty),
		set: (v) =>
			store.set({
				drafts: setDraft(store.get().drafts, path, v, stored, doc?.revision ?? 0),
				errors: [],
				applied: null,
			}),
		error: message && sentence(message),
		changed: drafts.edits.has(path),
	}
}

/** The document as chosen, and whether the one signed in may change it. */
export function useEditable(): { doc: Document | undefined; may: boolean; error: Error | null } {
	const doc = useDocument()
	const { data: me } = useSession()
	return { doc: doc.data, may: me?.role === "admin" && !!doc.data, error: doc.error }
}

/** What the drafts would change, without changing it. */
export async function probe(): Promise<Outcome> {
	const { drafts } = store.get()
	const { data } = await call<Outcome>("/api/tx", {
		method: "POST",
		query: { "dry-run": 1 },
		body: { edits: toSend(drafts) },
		ifRevision: drafts.base,
	})
	return data
}

/** Puts the drafts in force. */
export function useApply() {
	const qc = useQueryClient()
	return useMutation({
		mutationFn: async () => {
			const { drafts } = store.get()
			return call<Outcome>("/api/tx", {
				method: "POST",
				body: { edits: toSend(drafts), confirmSeconds: confirmSeconds(drafts) || undefined },
				ifRevision: drafts.base,
			})
		},
		onSuccess: async ({ data }) => {
			await qc.invalidateQueries()
			store.set({ drafts: noDrafts, errors: [] })
			applied(data)
		},
		onError: (err) => {
			if (err instanceof Problem) store.set({ errors: err.errors })
		},
	})
}

export function useUndo() {
	const qc = useQueryClient()
	return useMutation({
		mutationFn: async ({ to, from }: { to: number; from?: number }) =>
			call<Outcome>("/api/config/rollback", { method: "POST", body: { revision: to }, ifRevision: from }),
		onSuccess: async () => {
			await qc.invalidateQueries()
			store.set({ applied: null })
			toast(t("Undone. The cell is as it was before."))
		},
	})
}

/** Ends the wait for a confirmation, one way or the other. */
export function useSettle() {
	const qc = useQueryClient()
	return useMutation({
		mutationFn: async (how: "confirm" | "revert") => call<Outcome>(`/api/config/${how}`, { method: "POST" }),
		onSuccess: async (_, how) => {
			await qc.invalidateQueries()
			store.set({ applied: null })
			toast(how === "confirm" ? t("The change stays.") : t("Undone. The cell is as it was before."))
		},
	})
}

/** A call that changes the document at once; the bar then offers to undo it. */
export function useEdit<In, Out extends Outcome = Outcome>(fn: (input: In) => Promise<{ data: Out }>) {
	const qc = useQueryClient()
	return useMutation({
		mutationFn: fn,
		onSuccess: async ({ data }) => {
			await qc.invalidateQueries()
			applied(data)
		},
	})
}
