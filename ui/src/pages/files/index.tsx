import { ChevronRight, File, FolderClosed, FolderOpen } from "lucide-react"
import { Link, useSearchParams } from "wouter"
import { useFiles, useSession, useStatus } from "../../api/hooks"
import type { FileEntry } from "../../api/types"
import { Card, Fact, Facts } from "../../kit/card"
import { bytes } from "../../kit/format"
import { Page } from "../../kit/page"
import { Empty } from "../../kit/states"
import { type Column, Table } from "../../kit/table"
import { Copy, None, Time } from "../../kit/text"
import { t } from "../../kit/words"
import { Loaded } from "../../parts/loaded"
import { below, crumbs, sorted } from "./path"

export default function Files() {
	const [params] = useSearchParams()
	const path = params.get("path") ?? ""
	const files = useFiles(path)
	const columns: Column<FileEntry>[] = [
		{
			head: t("Name"),
			cell: (f) => (
				<span className="flex min-w-0 items-center gap-2.5">
					{f.dir ? (
						<FolderClosed size={16} strokeWidth={1.75} aria-label={t("folder")} className="text-leaf-ink" />
					) : (
						<File size={16} strokeWidth={1.75} aria-label={t("file")} className="text-muted" />
					)}
					{f.dir ? (
						<Link
							href={`/files?path=${encodeURIComponent(below(path, f.name))}`}
							className="min-w-0 font-medium hover:underline [overflow-wrap:anywhere]"
						>
							{f.name}
						</Link>
					) : (
						<span className="min-w-0 [overflow-wrap:anywhere]">{f.name}</span>
					)}
				</span>
			),
		},
		{ head: t("Changed"), cell: (f) => <Time at={f.modified} /> },
		{ head: t("Size"), kind: "num", cell: (f) => (f.dir ? <None>{"–"}</None> : bytes(f.size)) },
	]
	return (
		<Page title={t("Files")} about={t("What lies on the cell. Mount it like a disk to work with it.")}>
			<Card flush>
				<Crumbs path={path} />
				<Loaded of={files} rows={6}>
					{(list) =>
						list.entries?.length ? (
							<Table
								label={t("Files and folders")}
								columns={columns}
								rows={sorted(list.entries)}
								id={(f) => f.name}
							/>
						) : (
							<Empty icon={FolderOpen} title={t("This folder is empty")}>
								{t("Mount the cell with the address below and copy something in.")}
							</Empty>
						)
					}
				</Loaded>
			</Card>
			<Mount />
		</Page>
	)
}

function Crumbs({ path }: { path: string }) {
	return (
		<nav aria-label={t("Folders above")} className="border-b border-line px-4 py-2.5">
			<ol className="flex flex-wrap items-center gap-x-1.5">
				{crumbs(path).map((c, i, all) => (
					<li key={c.path} className="flex items-center gap-1.5">
						{i > 0 && <ChevronRight size={12} aria-hidden className="text-muted" />}
						<Link
							href={c.path ? `/files?path=${encodeURIComponent(c.path)}` : "/files"}
							aria-current={i === all.length - 1 ? "page" : undefined}
							className="text-muted hover:text-ink aria-[current]:font-medium aria-[current]:text-ink"
						>
							{c.name || t("All files")}
						</Link>
					</li>
				))}
			</ol>
		</nav>
	)
}

function Mount() {
	const { data: me } = useSession()
	const { data: status } = useStatus()
	if (!me || !status) return null
	const path = `/dav/files/${me.user}/`
	return (
		<Card
			title={t("Mount it")}
			hint={t("As a network drive over WebDAV. Sign in with your name and an app password.")}
		>
			<Facts>
				<Fact name={t("Everywhere")}>
					<Copy value={`https://files.${status.cell.domain}${path}`} label={t("the address")} />
				</Fact>
				<Fact name={t("On this host")}>
					<Copy
						value={`http://127.0.0.1:${status.ports?.webdav ?? 8080}${path}`}
						label={t("the local address")}
					/>
				</Fact>
			</Facts>
		</Card>
	)
}
