import { Component, type ReactNode } from "react"
import { Failed } from "../kit/states"
import { t } from "../kit/words"

/** Keeps one broken page from taking the navigation with it. */
export class ErrorBoundary extends Component<{ children: ReactNode }, { error: Error | null }> {
	state: { error: Error | null } = { error: null }

	static getDerivedStateFromError(error: Error) {
		return { error }
	}

	render() {
		if (!this.state.error) return this.props.children
		return (
			<Failed
				text={t("This page stumbled: {why} Loading it again usually helps.", {
					why: this.state.error.message,
				})}
				retry={() => location.reload()}
			/>
		)
	}
}
