import { useMutation } from "@tanstack/react-query"
import { type FormEvent, type ReactNode, useEffect, useRef, useState } from "react"
import { useLocation } from "wouter"
import { call, errorAt, Problem, textOf } from "../../api/client"
import { enter, useSetup } from "../../api/hooks"
import type { Session } from "../../api/types"
import { Button } from "../../kit/button"
import { Fact, Facts } from "../../kit/card"
import { Field } from "../../kit/field"
import { Notice } from "../../kit/status"
import { Mono } from "../../kit/text"
import { t } from "../../kit/words"
import { domainOf, type Form, gaps, request, type Step, stepOf, steps, tokenIn } from "./form"

/** The first run: four small steps, all by keyboard if one likes. */
export default function Wizard() {
	const [, go] = useLocation()
	const { data: setup } = useSetup(true)
	const [step, setStep] = useState<Step>(() => (tokenIn(location.hash) ? "cell" : "token"))
	const [form, change] = useState<Form>(() => ({
		token: tokenIn(location.hash),
		name: setup?.suggestion?.name ?? "",
		domain: "",
		admin: "",
		display: "",
		password: "",
		again: "",
	}))
	const [tried, setTried] = useState(false)
	const head = useRef<HTMLHeadingElement>(null)
	const set = (part: Partial<Form>) => change({ ...form, ...part })

	useEffect(() => {
		// The token must not stay in the history of the browser.
		if (location.hash) history.replaceState(null, "", location.pathname)
	}, [])
	const first = useRef(true)
	// biome-ignore lint/correctness/useExhaustiveDependencies: each step begins at its heading
	useEffect(() => {
		document.title = t("First run · Personal Internet Cell")
		if (!first.current) head.current?.focus()
		first.current = false
	}, [step])

	const create = useMutation({
		mutationFn: async () => (await call<Session>("/api/setup", { method: "POST", body: request(form) })).data,
		onSuccess: (session) => {
			go("/", { replace: true })
			enter(session)
		},
		onError: (err) => {
			if (!(err instanceof Problem)) return
			const back = err.status === 403 ? "token" : stepOf(err.errors.map((e) => e.path))
			if (back) setStep(back)
		},
	})

	const missing = gaps(step, form)
	const say = (name: string, ...paths: string[]) =>
		(tried ? missing[name] : undefined) ?? [name, ...paths].map((p) => errorAt(create.error, p)).find(Boolean)
	const at = steps.indexOf(step)
	const forward = (e: FormEvent) => {
		e.preventDefault()
		const open = Object.keys(missing).length > 0
		setTried(open)
		if (open) return
		if (step === "summary") create.mutate()
		else {
			create.reset()
			setStep(steps[at + 1]!)
		}
	}
	const text = (key: keyof Form) => ({ value: form[key], onChange: (v: string) => set({ [key]: v }) })

	return (
		<main className="grid min-h-dvh place-items-center p-4">
			<div className="w-full max-w-[440px]">
				<div className="flex items-center gap-3">
					<img src="/favicon.svg" alt="" width={36} height={36} />
					<p className="text-muted">{t("First run · step {n} of {of}", { n: at + 1, of: steps.length })}</p>
				</div>
				<div aria-hidden className="mt-4 flex gap-1">
					{steps.map((s, i) => (
						<span
							key={s}
							className={`h-1 flex-1 rounded-full transition-colors duration-[180ms] ${i <= at ? "bg-leaf" : "bg-line"}`}
						/>
					))}
				</div>
				<form onSubmit={forward} className="mt-6 flex flex-col gap-4" noValidate>
					<h1 ref={head} tabIndex={-1} className="text-title font-strong tracking-[-0.01em]">
						{titles[step]}
					</h1>
					{step === "token" && (
						<Part
							about={t(
								"The cell printed a one-time token when it started. It proves that this machine is yours, so that nobody else can be first.",
							)}
						>
							<Field
								label={t("Setup token")}
								{...text("token")}
								error={say("token")}
								mono
								autoFocus
								autoComplete="off"
								spellCheck="false"
								isRequired
							/>
						</Part>
					)}
					{step === "cell" && (
						<Part about={t("Your cell's name is part of all its addresses.")}>
							<Field
								label={t("Name of the cell")}
								{...text("name")}
								error={say("name", "cell.name")}
								hint={t("One word, such as oak")}
								autoFocus
								autoComplete="off"
								autoCapitalize="none"
								spellCheck="false"
								isRequired
							/>
							<Field
								label={t("Domain")}
								{...text("domain")}
								error={say("domain", "cell.domain")}
								placeholder={domainOf({ ...form, domain: "" })}
								hint={t("Leave it empty unless you own one. home.arpa is made for homes.")}
								autoComplete="off"
								autoCapitalize="none"
								spellCheck="false"
								mono
							/>
							<Preview domain={domainOf(form)} />
						</Part>
					)}
					{step === "admin" && (
						<Part about={t("You look after the cell. Others can be added later.")}>
							<Field
								label={t("Your name")}
								{...text("display")}
								error={say("display")}
								hint={t("As others see it, such as Alice")}
								autoFocus
								autoComplete="name"
							/>
							<Field
								label={t("Sign-in name")}
								{...text("admin")}
								error={say("admin", "users")}
								hint={
									form.admin && t("Your mail address: {mail}", { mail: `${form.admin}@${domainOf(form)}` })
								}
								autoComplete="username"
								autoCapitalize="none"
								spellCheck="false"
								isRequired
							/>
							<Field
								label={t("Password")}
								type="password"
								{...text("password")}
								error={say("password")}
								autoComplete="new-password"
								isRequired
							/>
							<Field
								label={t("Password again")}
								type="password"
								{...text("again")}
								error={say("again")}
								autoComplete="new-password"
								isRequired
							/>
						</Part>
					)}
					{step === "summary" && (
						<Part about={t("This is what the cell will start with. All of it can be changed later.")}>
							<div className="rounded-card border border-line bg-surface p-4">
								<Facts>
									<Fact name={t("Cell")}>{form.name}</Fact>
									<Fact name={t("Domain")}>
										<Mono>{domainOf(form)}</Mono>
									</Fact>
									<Fact name={t("Administrator")}>
										{form.display ? `${form.display} (${form.admin})` : form.admin}
									</Fact>
									<Fact name={t("Mail address")}>
										<Mono>{`${form.admin}@${domainOf(form)}`}</Mono>
									</Fact>
									<Fact name={t("Mode")}>
										{setup?.suggestion?.mode === "trial"
											? t("trial: high ports, touches nothing of this host")
											: t("appliance: serves the network")}
									</Fact>
								</Facts>
							</div>
						</Part>
					)}
					{create.error && <Notice tone="bad" title={textOf(create.error)} />}
					<div className="mt-1 flex justify-between gap-2">
						{at > 0 ? (
							<Button kind="quiet" onPress={() => setStep(steps[at - 1]!)} className="-ms-3">
								{t("Back")}
							</Button>
						) : (
							<span />
						)}
						<Button kind="primary" type="submit" isPending={create.isPending}>
							{step !== "summary" ? t("Next") : create.isPending ? t("Starting…") : t("Start the cell")}
						</Button>
					</div>
				</form>
			</div>
		</main>
	)
}

const titles: Record<Step, string> = {
	token: t("Welcome to your cell"),
	cell: t("What is it called?"),
	admin: t("Who are you?"),
	summary: t("All set?"),
}

function Part({ about, children }: { about: string; children: ReactNode }) {
	return (
		<>
			<p className="-mt-3 text-muted">{about}</p>
			{children}
		</>
	)
}

function Preview({ domain }: { domain: string }) {
	if (!domain) return null
	return (
		<ul
			aria-label={t("Addresses to come")}
			className="rounded-card border border-line bg-sunken px-4 py-3 font-mono text-sec text-muted"
		>
			{["home", "mail", "calendar", "files"].map((name) => (
				<li key={name} className="[overflow-wrap:anywhere]">
					{`https://${name}.`}
					<span className="text-ink">{domain}</span>
				</li>
			))}
		</ul>
	)
}
