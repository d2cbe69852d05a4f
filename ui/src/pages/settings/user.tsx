import { useMutation } from "@tanstack/react-query"
import { type FormEvent, useState } from "react"
import { call, errorAt, textOf, toldByFields } from "../../api/client"
import { enter } from "../../api/hooks"
import type { Outcome, Role, Session } from "../../api/types"
import { useEdit } from "../../change/use"
import { Button } from "../../kit/button"
import { Field, Select } from "../../kit/field"
import { Dialog, DialogActions } from "../../kit/overlay"
import { Notice } from "../../kit/status"
import { toast } from "../../kit/toast"
import { t } from "../../kit/words"

const fields = ["name", "display", "role", "password", "current"]

export function AddUser({ onClose }: { onClose: () => void }) {
	const [form, change] = useState({ name: "", display: "", role: "user" as Role, password: "" })
	const set = (part: Partial<typeof form>) => change({ ...form, ...part })
	const add = useEdit(() =>
		call<Outcome>("/api/users", {
			method: "POST",
			body: { ...form, name: form.name.trim(), display: form.display.trim() || undefined },
		}),
	)
	const submit = (e: FormEvent) => {
		e.preventDefault()
		add.mutate(undefined, { onSuccess: onClose })
	}
	return (
		<Dialog title={t("Add a person")} open onClose={onClose}>
			<form onSubmit={submit} className="flex flex-col gap-4 pt-2" noValidate>
				<Field
					label={t("Name")}
					value={form.display}
					onChange={(display) => set({ display })}
					error={errorAt(add.error, "display")}
					hint={t("As others see it, such as Bert")}
					autoFocus
					autoComplete="off"
				/>
				<Field
					label={t("Sign-in name")}
					value={form.name}
					onChange={(name) => set({ name })}
					error={errorAt(add.error, "name")}
					hint={t("The part of the mail address before the @")}
					autoComplete="off"
					autoCapitalize="none"
					spellCheck="false"
					isRequired
				/>
				<Select
					label={t("Role")}
					value={form.role}
					onChange={(role) => set({ role: role as Role })}
					error={errorAt(add.error, "role")}
					options={[
						["user", t("Member: their own things")],
						["viewer", t("Viewer: sees the whole cell")],
						["admin", t("Administrator: changes the whole cell")],
					]}
				/>
				<Field
					label={t("First password")}
					type="password"
					value={form.password}
					onChange={(password) => set({ password })}
					error={errorAt(add.error, "password")}
					autoComplete="new-password"
					isRequired
				/>
				{add.error && !toldByFields(add.error, fields) && <Notice tone="bad" title={textOf(add.error)} />}
				<DialogActions>
					<Button kind="quiet" onPress={onClose}>
						{t("Cancel")}
					</Button>
					<Button
						kind="primary"
						type="submit"
						isDisabled={!form.name.trim() || !form.password}
						isPending={add.isPending}
					>
						{t("Add")}
					</Button>
				</DialogActions>
			</form>
		</Dialog>
	)
}

export function SetPassword({ user, self, onClose }: { user: string; self: boolean; onClose: () => void }) {
	const [current, setCurrent] = useState("")
	const [password, setPassword] = useState("")
	const save = useMutation({
		mutationFn: async () => {
			await call(`/api/users/${encodeURIComponent(user)}/password`, {
				method: "PUT",
				body: { password, current: current || undefined },
			})
			// A new password ends every session of its owner; this one goes on with a new one.
			if (self)
				enter(
					(await call<Session>("/api/auth/login", { method: "POST", body: { login: user, password } })).data,
				)
		},
		onSuccess: () => {
			toast(t("The new password of {name} is in force.", { name: user }))
			onClose()
		},
	})
	const submit = (e: FormEvent) => {
		e.preventDefault()
		save.mutate()
	}
	return (
		<Dialog
			title={self ? t("Set my password") : t("Set the password of {name}", { name: user })}
			open
			onClose={onClose}
		>
			<form onSubmit={submit} className="flex flex-col gap-4 pt-2" noValidate>
				{self && (
					<Field
						label={t("Present password")}
						type="password"
						value={current}
						onChange={setCurrent}
						error={errorAt(save.error, "current")}
						autoComplete="current-password"
						autoFocus
						isRequired
					/>
				)}
				<Field
					label={t("New password")}
					type="password"
					value={password}
					onChange={setPassword}
					error={errorAt(save.error, "password")}
					autoComplete="new-password"
					autoFocus={!self}
					isRequired
				/>
				<p className="text-sec text-muted">
					{self ? t("All other browsers are signed out.") : t("They are signed out everywhere.")}
				</p>
				{save.error && !toldByFields(save.error, fields) && <Notice tone="bad" title={textOf(save.error)} />}
				<DialogActions>
					<Button kind="quiet" onPress={onClose}>
						{t("Cancel")}
					</Button>
					<Button
						kind="primary"
						type="submit"
						isDisabled={!password || (self && !current)}
						isPending={save.isPending}
					>
						{t("Set it")}
					</Button>
				</DialogActions>
			</form>
		</Dialog>
	)
}
