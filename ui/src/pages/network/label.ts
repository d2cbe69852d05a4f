/** A DNS label for a reservation: the host's own name, or one made of its card. */
export function label(host: string, mac: string): string {
	const own = host
		.toLowerCase()
		.replace(/[^a-z0-9-]+/g, "-")
		.replace(/^-+|-+$/g, "")
		.slice(0, 63)
	return (
		own ||
		`device-${mac
			.replace(/[^0-9a-f]/gi, "")
			.slice(-6)
			.toLowerCase()}`
	)
}

/** "host" on the standard port, else "host:port". */
export function withStandardPort(host: string, port: number, standard: number): string {
	return port === standard ? host : `${host}:${port}`
}
