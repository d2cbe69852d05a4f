import { useQuery } from "@tanstack/react-query"
import { KeyRound } from "lucide-react"
import { useState } from "react"
import { call, textOf } from "../../api/client"
import { useSession } from "../../api/hooks"
import type { CellRotation } from "../../api/types"
import { useEdit } from "../../change/use"
import { Button } from "../../kit/button"
import { Dialog, DialogActions } from "../../kit/overlay"
import { Skeleton } from "../../kit/states"
import { Notice } from "../../kit/status"
import { t } from "../../kit/words"

const path = "/api/wireguard/rotate"

/** A new key for the cell, with what that means said before. */
export function Rotate() {
	const { data: me } = useSession()
	const [open, show] = useState(false)
	if (me?.role !== "admin") return null
	return (
		<>
			<Button icon={KeyRound} onPress={() => show(true)}>
				{t("New key…")}
			</Button>
			{open && <Sure onClose={() => show(false)} />}
		</>
	)
}

function Sure({ onClose }: { onClose: () => void }) {
	const before = useQuery({
		queryKey: ["wireguard", "rotate"],
		queryFn: async () =>
			(await call<CellRotation>(path, { method: "POST", query: { "dry-run": 1 }, body: {} })).data,
		gcTime: 0,
		retry: false,
	})
	const rotate = useEdit(() => call<CellRotation>(path, { method: "POST", body: {} }))
	const err = before.error ?? rotate.error
	return (
		<Dialog title={t("A new key for the cell?")} open onClose={onClose} role="alertdialog">
			{before.data ? <p className="pt-1">{before.data.text}</p> : !err && <Skeleton rows={2} />}
			{err && <Notice tone="bad" title={textOf(err)} />}
			<DialogActions>
				<Button kind="quiet" onPress={onClose} autoFocus>
					{t("Keep the key")}
				</Button>
				<Button
					kind="danger"
					onPress={() => rotate.mutate(undefined, { onSuccess: onClose })}
					isDisabled={!before.data}
					isPending={rotate.isPending}
				>
					{t("Make a new key")}
				</Button>
			</DialogActions>
		</Dialog>
	)
}
