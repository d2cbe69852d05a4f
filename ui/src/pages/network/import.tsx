import { useMutation } from "@tanstack/react-query"
import { useState } from "react"
import { call, textOf } from "../../api/client"
import type { Outcome } from "../../api/types"
import { useEdit } from "../../change/use"
import { Button } from "../../kit/button"
import { Switch } from "../../kit/field"
import { Dialog, DialogActions } from "../../kit/overlay"
import { Notice } from "../../kit/status"
import { t, tn } from "../../kit/words"

type Imported = Outcome & { records?: unknown[]; notes?: string[] }

/** Takes records of a master file into a zone: first tried, then done. */
export function Import({ url, zone, onClose }: { url: string; zone: string; onClose: () => void }) {
	const [text, setText] = useState("")
	const [replace, setReplace] = useState(false)
	const body = { text, replace }
	const look = useMutation({
		mutationFn: () => call<Imported>(`${url}/import`, { method: "POST", query: { "dry-run": 1 }, body }),
	})
	const put = useEdit(() => call<Imported>(`${url}/import`, { method: "POST", body }))
	const found = look.data?.data
	return (
		<Dialog title={t("Import records into {zone}", { zone })} open onClose={onClose} wide>
			<form
				className="flex flex-col gap-4 pt-2"
				onSubmit={(e) => {
					e.preventDefault()
					if (found) put.mutate(undefined, { onSuccess: onClose })
					else look.mutate()
				}}
			>
				<label className="flex flex-col gap-1">
					<span className="font-medium">{t("Zone file")}</span>
					<textarea
						value={text}
						onChange={(e) => {
							setText(e.target.value)
							look.reset()
						}}
						rows={10}
						spellCheck={false}
						placeholder={"$TTL 300\nnas  A  192.168.1.10"}
						className="w-full rounded-control border border-edge bg-surface px-2.5 py-1.5 font-mono text-sec focus:outline-2 focus:-outline-offset-1 focus:outline-leaf"
					/>
				</label>
				<Switch
					label={t("In place of the records that are there")}
					isSelected={replace}
					onChange={(on) => {
						setReplace(on)
						look.reset()
					}}
				/>
				{(look.error ?? put.error) && <Notice tone="bad" title={textOf(look.error ?? put.error)} />}
				{found && (
					<Notice
						tone="idle"
						title={tn(found.records?.length ?? 0, "{n} record is taken in", "{n} records are taken in")}
					>
						{(found.notes ?? []).length > 0 && (
							<ul>
								{found.notes?.map((n) => (
									<li key={n}>{n}</li>
								))}
							</ul>
						)}
					</Notice>
				)}
				<DialogActions>
					<Button onPress={onClose}>{t("Cancel")}</Button>
					<Button
						type="submit"
						kind="primary"
						isDisabled={!text.trim()}
						isPending={look.isPending || put.isPending}
					>
						{found ? t("Import") : t("Check")}
					</Button>
				</DialogActions>
			</form>
		</Dialog>
	)
}
