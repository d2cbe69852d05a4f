import type { UseQueryResult } from "@tanstack/react-query"
import type { ReactNode } from "react"
import { Problem, textOf } from "../api/client"
import { Failed, NotAllowed, Skeleton } from "../kit/states"

/** What was asked for, or why it is not here yet, or not at all. */
export function Loaded<T>({
	of,
	rows,
	children,
}: {
	of: UseQueryResult<T>
	rows?: number
	children: (data: T) => ReactNode
}) {
	if (of.data !== undefined) return children(of.data)
	if (of.error instanceof Problem && of.error.status === 403) return <NotAllowed />
	if (of.error) return <Failed text={textOf(of.error)} retry={() => of.refetch()} />
	return <Skeleton rows={rows} />
}
