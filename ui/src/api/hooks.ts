import { QueryClient, type UseQueryResult, useQuery, useQueryClient } from "@tanstack/react-query"
import { useSyncExternalStore } from "react"
import { type Call, call, Problem, setCSRF } from "./client"
import { linkState, type LogFilter } from "./live"
import type * as T from "./types"

export const queryClient = new QueryClient({
	defaultOptions: {
		queries: {
			staleTime: 5_000,
			refetchOnWindowFocus: true,
			retry: (n, err) => n < 2 && (!(err instanceof Problem) || err.status === 0 || err.status >= 500),
			retryDelay: (n) => 500 * 2 ** n,
		},
	},
})

async function read<R>(path: string, c?: Call): Promise<R> {
	return (await call<R>(path, c)).data
}

/** Null: nobody is signed in. */
export async function readSession(): Promise<T.Session | null> {
	try {
		const s = await read<T.Session>("/api/auth/session")
		setCSRF(s.csrf ?? "")
		return s
	} catch (err) {
		if (err instanceof Problem && (err.status === 401 || err.code === "setup")) return null
		throw err
	}
}

export const useSession = () => useQuery({ queryKey: ["session"], queryFn: readSession, staleTime: 60_000 })
export const useSetup = (on: boolean) =>
	useQuery({ queryKey: ["setup"], queryFn: () => read<T.SetupState>("/api/setup"), enabled: on, staleTime: 0 })

export function useLink() {
	return useSyncExternalStore(linkState.watch, linkState.get)
}

/** Asks again by itself: often where the stream is lost, else every so many seconds. */
function useEvery(seconds: number | false): number | false {
	const link = useLink()
	if (link === "lost") return 10_000
	return seconds === false ? false : seconds * 1000
}

function useRead<R>(key: readonly unknown[], path: string, c?: Call, every: number | false = false): UseQueryResult<R> {
	return useQuery<R>({ queryKey: key, queryFn: ({ signal }) => read<R>(path, { ...c, signal }), refetchInterval: useEvery(every) })
}

/** Lists that are empty may come as null. */
function useList<R>(key: readonly unknown[], path: string, c?: Call, every: number | false = false): UseQueryResult<R[]> {
	return useQuery<R[]>({
		queryKey: key,
		queryFn: async ({ signal }) => (await read<R[] | null>(path, { ...c, signal })) ?? [],
		refetchInterval: useEvery(every),
	})
}

export const useStatus = () => useRead<T.Health>(["status"], "/api/status", undefined, 30)
export const usePeers = () => useList<T.Peer>(["peers"], "/api/peers", undefined, 10)
export const useUsers = () => useList<T.User>(["users"], "/api/users")
export const useTimeline = () => useList<T.Event>(["timeline"], "/api/timeline", { query: { limit: 200 } })
export const useHistory = () => useList<T.Revision>(["config", "history"], "/api/config/history")
export const useDocument = () => useRead<T.Document>(["config", "chosen"], "/api/config")
export const useResolved = () => useRead<T.Document>(["config", "resolved"], "/api/config", { query: { resolved: 1 } })
export const useLogs = (f: LogFilter) =>
	useList<T.Line>(["logs", f], "/api/logs", { query: { unit: f.unit, level: f.level, limit: 1000 } })
export const useWireGuard = () => useRead<T.WireGuard>(["wireguard"], "/api/wireguard", undefined, 10)
export const useDNS = () => useRead<T.DNS>(["dns"], "/api/dns", undefined, 10)
export const useRecords = () => useList<T.DNSRecord>(["dns", "records"], "/api/dns/records", undefined, 30)
export const useDHCP = () => useRead<T.DHCP>(["dhcp"], "/api/dhcp", undefined, 30)
export const useLeases = () => useList<T.Lease>(["dhcp", "leases"], "/api/dhcp/leases", undefined, 30)
export const useNTP = () => useRead<T.NTP>(["ntp"], "/api/ntp", undefined, 10)
export const useEmail = () => useRead<T.Email>(["email"], "/api/email", undefined, 30)
export const useCalendar = () => useRead<{ collections: T.Collection[] | null }>(["calendar"], "/api/calendar", undefined, 60)
export const useFiles = (path: string) => useRead<T.Listing>(["files", path], "/api/files", { query: { path } }, 60)
export const useRouting = () => useRead<T.Routing>(["routing"], "/api/routing", undefined, 30)
export const useVault = () => useRead<T.Vault>(["vault"], "/api/vault", undefined, 60)
export const useCells = () => useRead<{ links: T.CellLink[] | null }>(["cells"], "/api/cells", undefined, 60)
export const useTokens = () => useList<T.Token>(["tokens"], "/api/tokens")
export const useAppPasswords = (user: string) =>
	useList<T.AppPassword>(["users", user, "app-passwords"], `/api/users/${encodeURIComponent(user)}/app-passwords`)

/** Makes everything that the page shows be asked anew. */
export function useRefresh() {
	const qc = useQueryClient()
	return (...keys: string[]) => Promise.all(keys.map((k) => qc.invalidateQueries({ queryKey: [k] })))
}
