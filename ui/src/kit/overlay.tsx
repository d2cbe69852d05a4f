import { EllipsisVertical, type LucideIcon, X } from "lucide-react"
import type { ReactNode } from "react"
import {
	Dialog as AriaDialog,
	Menu as AriaMenu,
	Heading,
	MenuItem,
	MenuTrigger,
	Modal,
	ModalOverlay,
	Popover,
} from "react-aria-components"
import { IconButton } from "./button"
import { t } from "./words"

/** A dialog over the page; on a phone it rises from the lower edge. */
export function Dialog({
	title,
	open,
	onClose,
	children,
	wide,
	role,
}: {
	title: string
	open: boolean
	onClose: () => void
	children: ReactNode
	wide?: boolean
	role?: "dialog" | "alertdialog"
}) {
	return (
		<ModalOverlay
			isOpen={open}
			onOpenChange={(o) => !o && onClose()}
			isDismissable={role !== "alertdialog"}
			className="float fixed inset-0 z-40 flex items-center justify-center bg-shade p-4 max-card:items-end max-card:p-0"
		>
			<Modal
				className={`float flex max-h-full w-full flex-col overflow-hidden rounded-dialog border border-line bg-raised shadow-float max-card:max-h-[92dvh] max-card:rounded-b-none ${wide ? "max-w-[680px]" : "max-w-[480px]"}`}
			>
				<AriaDialog role={role} className="flex min-h-0 flex-col outline-none">
					<div className="flex items-start justify-between gap-4 px-5 pt-4 pb-1">
						<Heading slot="title" level={2} className="text-section font-strong [overflow-wrap:anywhere]">
							{title}
						</Heading>
						<IconButton icon={X} label={t("Close")} onPress={onClose} className="-me-2 -mt-1" />
					</div>
					<div className="min-h-0 overflow-y-auto px-5 pb-5">{children}</div>
				</AriaDialog>
			</Modal>
		</ModalOverlay>
	)
}

export function DialogActions({ children }: { children: ReactNode }) {
	return <div className="mt-5 flex flex-wrap justify-end gap-2 max-card:[&>*]:flex-1">{children}</div>
}

export interface MenuEntry {
	id: string
	text: string
	icon?: LucideIcon
	danger?: boolean
	href?: string
	download?: string
	onAction?: () => void
}

/** The things that can be done with one row or with me. */
export function Menu({
	label,
	entries,
	trigger,
	head,
}: {
	label: string
	entries: MenuEntry[]
	trigger?: ReactNode
	head?: ReactNode
}) {
	return (
		<MenuTrigger>
			{trigger ?? <IconButton icon={EllipsisVertical} label={label} />}
			<Popover
				placement="bottom end"
				className="float min-w-44 rounded-card border border-line bg-raised p-1 shadow-float"
			>
				{head}
				<AriaMenu
					className="outline-none"
					onAction={(key) => entries.find((e) => e.id === key)?.onAction?.()}
				>
					{entries.map((e) => (
						<MenuItem
							key={e.id}
							id={e.id}
							textValue={e.text}
							href={e.href}
							download={e.download}
							className={`flex h-8 max-wide:h-11 cursor-pointer items-center gap-2.5 rounded-control px-2.5 outline-none data-[focused]:bg-hover ${e.danger ? "text-bad-ink" : ""}`}
						>
							{e.icon && (
								<e.icon size={16} strokeWidth={1.75} aria-hidden className={e.danger ? "" : "text-muted"} />
							)}
							{e.text}
						</MenuItem>
					))}
				</AriaMenu>
			</Popover>
		</MenuTrigger>
	)
}
