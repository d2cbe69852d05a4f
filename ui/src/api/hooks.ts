import {
	QueryClient,
	type UseQueryResult,
	useInfiniteQuery,
	useQuery,
	useQueryClient,
} from "@tanstack/react-query"
import { useSyncExternalStore } from "react"
import { type Call, call, Problem, setCSRF } from "./client"
import { type LogFilter, linkState } from "./live"
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
	useQuery({
		queryKey: ["setup"],
		queryFn: () => read<T.SetupState>("/api/setup"),
		enabled: on,
		staleTime: 0,
	})

export function useLink() {
	return useSyncExternalStore(linkState.watch, linkState.get)
}

/** Asks again by itself: often where the stream is lost, else every so many seconds. */
function useEvery(seconds: number | false): number | false {
	const link = useLink()
	if (link === "lost") return 10_000
	return seconds === false ? false : seconds * 1000
}

interface Ask extends Call {
	/** Seconds until it is asked again; never where it is not given. */
	every?: number
}

function useRead<P extends T.Readable>(
	key: readonly unknown[],
	path: P,
	{ every, ...c }: Ask = {},
): UseQueryResult<T.Got<P>> {
	return useQuery<T.Got<P>>({
		queryKey: key,
		queryFn: ({ signal }) => read<T.Got<P>>(path, { ...c, signal }),
		refetchInterval: useEvery(every ?? false),
	})
}

export const useStatus = () => useRead(["status"], "/api/status", { every: 30 })
export const usePeers = () => useRead(["peers"], "/api/peers", { every: 10 })
export const useGroups = () => useRead(["groups"], "/api/groups")
export const usePeerHistory = (name: string, hours: number) =>
	useQuery({
		queryKey: ["peers", name, "history", hours],
		queryFn: () =>
			read<T.PeerHistory>(`/api/peers/${encodeURIComponent(name)}/history`, { query: { hours } }),
		refetchInterval: 60_000,
	})
export const useUsers = () => useRead(["users"], "/api/users")
export const useTimeline = () => useRead(["timeline"], "/api/timeline", { query: { limit: 200 } })
export const useHistory = () => useRead(["config", "history"], "/api/config/history")
export const useDocument = () => useRead(["config", "chosen"], "/api/config")
export const useResolved = () =>
	useRead(["config", "resolved"], "/api/config", { query: { resolved: "true" } })
export const useLogs = (f: LogFilter) =>
	useRead(["logs", f], "/api/logs", { query: { unit: f.unit, level: f.level, limit: 1000 } })
export const useWireGuard = () => useRead(["wireguard"], "/api/wireguard", { every: 10 })
export const useDNS = () => useRead(["dns"], "/api/dns", { every: 10 })
export const useRecords = () => useRead(["dns", "records"], "/api/dns/records", { every: 30 })
export const useDNSStats = (hours: number) =>
	useRead(["dns", "stats", hours], "/api/dns/stats", { query: { hours }, every: 15 })
export const useDNSLists = () => useRead(["dns", "lists"], "/api/dns/lists", { every: 20 })
export const useDNSServices = () => useRead(["dns", "services"], "/api/dns/services")
export const useDNSZones = () => useRead(["dns", "zones"], "/api/dns/zones", { every: 20 })

export interface QueryFilter {
	client?: string
	name?: string
	verdict?: string
	type?: string
}

/** The query log, page by page, the newest first. */
export const useDNSLog = (f: QueryFilter) =>
	useInfiniteQuery({
		queryKey: ["dns", "log", f],
		queryFn: ({ pageParam, signal }) =>
			read<T.DNSQueries>("/api/dns/log", { query: { ...f, before: pageParam, limit: 100 }, signal }),
		initialPageParam: "",
		getNextPageParam: (last) => last.next || undefined,
	})

export const useDHCP = () => useRead(["dhcp"], "/api/dhcp", { every: 30 })
export const useLeases = () => useRead(["dhcp", "leases"], "/api/dhcp/leases", { every: 30 })
export const useNTP = () => useRead(["ntp"], "/api/ntp", { every: 10 })
export const useEmail = () => useRead(["email"], "/api/email", { every: 30 })
export const useMailQueue = () => useRead(["email", "queue"], "/api/email/queue", { every: 15 })
export const useMailDomains = () => useRead(["email", "domains"], "/api/email/domains", { every: 300 })
export const useCalendar = () => useRead(["calendar"], "/api/calendar", { every: 60 })
export const useFiles = (path: string) =>
	useRead(["files", path], "/api/files", { query: { path }, every: 60 })
export const useRouting = () => useRead(["routing"], "/api/routing", { every: 30 })
export const useExits = () => useRead(["exits"], "/api/exits", { every: 5 })
export const useFirewall = () => useRead(["firewall"], "/api/firewall", { every: 5 })
export const useRouter = () => useRead(["router"], "/api/router", { every: 10 })
export const useEdge = () => useRead(["edge"], "/api/edge", { every: 15 })
export const useReach = () => useRead(["wireguard", "check"], "/api/wireguard/check")
export const useTraffic = (hours: number) =>
	useRead(["traffic", hours], "/api/traffic", { query: { hours }, every: 10 })
export const useVault = () => useRead(["vault"], "/api/vault", { every: 60 })
export const useCells = () => useRead(["cells"], "/api/cells", { every: 60 })
export const useTokens = () => useRead(["tokens"], "/api/tokens")

/** What belongs to one person, by its path below theirs. */
function useOwn<R>(user: string, what: string): UseQueryResult<R> {
	return useQuery({
		queryKey: ["users", user, what],
		queryFn: () => read<R>(`/api/users/${encodeURIComponent(user)}/${what}`),
	})
}

export const useAppPasswords = (user: string) => useOwn<T.AppPassword[]>(user, "app-passwords")
export const useSignIns = (user: string) => useOwn<T.SignIn[]>(user, "sessions")

/** Begins a session. What the cache still has of the one before is forgotten. */
export function enter(s: T.Session): void {
	queryClient.removeQueries({ type: "inactive" })
	setCSRF(s.csrf ?? "")
	queryClient.setQueryData(["session"], s)
}

/** Ends it here; the login takes the place of the pages. */
export function leave(): void {
	setCSRF("")
	queryClient.setQueryData(["session"], null)
}

/** Makes everything that the page shows be asked anew. */
export function useRefresh() {
	const qc = useQueryClient()
	return (...keys: string[]) => Promise.all(keys.map((k) => qc.invalidateQueries({ queryKey: [k] })))
}
