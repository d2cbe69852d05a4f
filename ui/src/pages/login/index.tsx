import { useMutation } from "@tanstack/react-query"
import { type FormEvent, useEffect, useState } from "react"
import { call, textOf } from "../../api/client"
import { enter } from "../../api/hooks"
import type { Session } from "../../api/types"
import { Button } from "../../kit/button"
import { Field } from "../../kit/field"
import { Notice } from "../../kit/status"
import { t } from "../../kit/words"

export default function Login() {
	const [login, setLogin] = useState("")
	const [password, setPassword] = useState("")
	useEffect(() => {
		document.title = t("Sign in · Personal Internet Cell")
	}, [])
	const signIn = useMutation({
		mutationFn: async () =>
			(await call<Session>("/api/auth/login", { method: "POST", body: { login: login.trim(), password } }))
				.data,
		onSuccess: enter,
		onError: () => setPassword(""),
	})
	const submit = (e: FormEvent) => {
		e.preventDefault()
		signIn.mutate()
	}
	return (
		<main className="grid min-h-dvh place-items-center p-4">
			<div className="w-full max-w-[340px]">
				<img src="/favicon.svg" alt="" width={36} height={36} />
				<h1 className="mt-4 text-title font-strong tracking-[-0.01em]">{t("Sign in to your cell")}</h1>
				<p className="mt-0.5 text-muted">{location.hostname}</p>
				<form onSubmit={submit} className="mt-6 flex flex-col gap-4" noValidate>
					<Field
						label={t("Name")}
						value={login}
						onChange={setLogin}
						autoComplete="username"
						autoCapitalize="none"
						spellCheck="false"
						autoFocus
						isRequired
					/>
					<Field
						label={t("Password")}
						type="password"
						value={password}
						onChange={setPassword}
						autoComplete="current-password"
						isRequired
					/>
					{signIn.error && <Notice tone="bad" title={textOf(signIn.error)} />}
					<Button
						kind="primary"
						type="submit"
						isDisabled={!login.trim() || !password}
						isPending={signIn.isPending}
						className="mt-1"
					>
						{signIn.isPending ? t("Signing in…") : t("Sign in")}
					</Button>
				</form>
				<p className="mt-6 text-sec text-muted">
					{t(
						"Password lost? An administrator sets a new one under Settings, or whoever has a terminal on the cell with",
					)}{" "}
					<code className="font-mono">{"pic user passwd NAME"}</code>
				</p>
			</div>
		</main>
	)
}
