import { Card } from "../../kit/card"
import { Choice } from "../../kit/field"
import { t } from "../../kit/words"
import { setTheme, type Theme, useTheme } from "../../shell/theme"

export function Appearance() {
	const theme = useTheme()
	return (
		<Card title={t("Appearance")} hint={t("Of this browser only.")}>
			<div className="max-w-[560px]">
				<Choice
					label={t("Theme")}
					value={theme}
					onChange={(v) => setTheme(v as Theme)}
					options={[
						{ value: "system", title: t("As the device"), text: t("Follows its day and night.") },
						{ value: "light", title: t("Light"), text: t("For bright rooms.") },
						{ value: "dark", title: t("Dark"), text: t("For the evening.") },
					]}
				/>
			</div>
		</Card>
	)
}
