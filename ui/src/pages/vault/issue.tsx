import { useMutation } from "@tanstack/react-query"
import { Download } from "lucide-react"
import { type FormEvent, useState } from "react"
import { call, textOf } from "../../api/client"
import { useRefresh, useStatus } from "../../api/hooks"
import type { IssuedCertificate } from "../../api/types"
import { Button } from "../../kit/button"
import { Field } from "../../kit/field"
import { Dialog, DialogActions } from "../../kit/overlay"
import { Notice } from "../../kit/status"
import { save } from "../../kit/text"
import { t } from "../../kit/words"
import { namesIn } from "./life"

/** A certificate for a server of the household that is not behind the proxy. */
export function Issue({ onClose }: { onClose: () => void }) {
	const [text, type] = useState("")
	const { data: status } = useStatus()
	const refresh = useRefresh()
	const domain = status?.cell.domain ?? ""
	const names = namesIn(text, domain)
	const issue = useMutation({
		mutationFn: async () =>
			(await call<IssuedCertificate>("/api/vault/certificates", { method: "POST", body: { names } })).data,
		onSuccess: () => refresh("vault"),
	})
	const submit = (e: FormEvent) => {
		e.preventDefault()
		issue.mutate()
	}
	const made = issue.data
	if (made) {
		return (
			<Dialog title={t("Save both now")} open onClose={onClose}>
				<p className="pt-1">
					{t("The key is shown this once; the cell keeps no copy of it. The server needs both files.")}
				</p>
				<div className="mt-4 flex flex-wrap gap-2">
					<Button icon={Download} onPress={() => save(`${names[0]}.pem`, made.chain)}>
						{t("Certificate")}
					</Button>
					<Button icon={Download} onPress={() => save(`${names[0]}.key`, made.key)}>
						{t("Private key")}
					</Button>
				</div>
				<DialogActions>
					<Button kind="primary" onPress={onClose}>
						{t("I have both")}
					</Button>
				</DialogActions>
			</Dialog>
		)
	}
	return (
		<Dialog title={t("Issue a certificate")} open onClose={onClose}>
			<form onSubmit={submit} className="flex flex-col gap-4 pt-2" noValidate>
				<p className="text-muted">
					{t(
						"For a server of your own that speaks TLS itself. What stands behind the proxy has one already.",
					)}
				</p>
				<Field
					label={t("Names")}
					value={text}
					onChange={type}
					error={issue.error ? textOf(issue.error) : undefined}
					hint={
						names.length ? names.join(", ") : t("One or more below {domain}, such as printer", { domain })
					}
					mono
					autoFocus
					autoComplete="off"
					autoCapitalize="none"
					spellCheck="false"
					isRequired
				/>
				{!status && <Notice tone="warn" title={t("The cell's domain is not known yet")} />}
				<DialogActions>
					<Button kind="quiet" onPress={onClose}>
						{t("Cancel")}
					</Button>
					<Button kind="primary" type="submit" isDisabled={!names.length} isPending={issue.isPending}>
						{t("Issue")}
					</Button>
				</DialogActions>
			</form>
		</Dialog>
	)
}
