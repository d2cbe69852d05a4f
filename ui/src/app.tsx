import { useQueryClient } from "@tanstack/react-query"
import { Compass } from "lucide-react"
import { lazy, Suspense, useEffect } from "react"
import { I18nProvider, RouterProvider } from "react-aria-components"
import { Route, Switch, useLocation } from "wouter"
import { textOf, whenSignedOut } from "./api/client"
import { leave, useSession, useSetup } from "./api/hooks"
import { connect } from "./api/live"
import { ButtonLink } from "./kit/button"
import { Page } from "./kit/page"
import { Empty, Failed, Skeleton } from "./kit/states"
import { Toast } from "./kit/toast"
import { t } from "./kit/words"
import { pages } from "./routes"
import { ErrorBoundary } from "./shell/boundary"
import { Shell } from "./shell/shell"

const Login = lazy(() => import("./pages/login"))
const Enrol = lazy(() => import("./pages/enrol"))
const Wizard = lazy(() => import("./pages/wizard"))

export function App() {
	const [path, navigate] = useLocation()
	return (
		<I18nProvider locale="en-US">
			<RouterProvider navigate={navigate}>
				<Suspense fallback={null}>{path === "/enrol" ? <Enrol /> : <Door />}</Suspense>
				<Toast />
			</RouterProvider>
		</I18nProvider>
	)
}

/** Who comes in sees the pages; others the login, or the first run. */
function Door() {
	const qc = useQueryClient()
	const session = useSession()
	const setup = useSetup(session.data === null)
	useEffect(() => whenSignedOut(leave), [])
	if (session.data) return <Inside />
	const failure = session.error ?? setup.error
	if (failure) {
		return (
			<main className="grid min-h-dvh place-items-center">
				<Failed text={textOf(failure)} retry={() => qc.invalidateQueries()} />
			</main>
		)
	}
	if (!setup.data) return null
	return setup.data.needed ? <Wizard /> : <Login />
}

function Inside() {
	const qc = useQueryClient()
	const [path] = useLocation()
	useEffect(() => connect(qc), [qc])
	return (
		<Shell>
			<ErrorBoundary key={path}>
				<Suspense
					fallback={
						<div className="mx-auto max-w-[1120px] p-6">
							<Skeleton rows={8} />
						</div>
					}
				>
					<Switch>
						{pages.map((p) => (
							<Route key={p.path} path={p.path === "/" ? "/" : `${p.path}/*?`} component={p.body} />
						))}
						<Route>
							<Nowhere />
						</Route>
					</Switch>
				</Suspense>
			</ErrorBoundary>
		</Shell>
	)
}

function Nowhere() {
	return (
		<Page title={t("No such page")}>
			<Empty
				icon={Compass}
				title={t("Nothing is at this address")}
				action={<ButtonLink href="/">{t("To the dashboard")}</ButtonLink>}
			>
				{t("The page may have moved. The navigation knows where everything is.")}
			</Empty>
		</Page>
	)
}
