// The device's own key pair, made in the browser where it can.

export interface KeyPair {
	private: string // base64, as wg genkey prints it
	public: string
}

/** Null where the browser cannot: over plain HTTP, or without X25519. */
export async function makeKeys(): Promise<KeyPair | null> {
	try {
		const pair = (await crypto.subtle.generateKey({ name: "X25519" }, true, ["deriveBits"])) as CryptoKeyPair
		const { d, x } = await crypto.subtle.exportKey("jwk", pair.privateKey)
		return d && x ? { private: fromURL(d, true), public: fromURL(x) } : null
	} catch {
		return null
	}
}

/** base64url without padding → base64. A private key is clamped as wg does it. */
export function fromURL(s: string, clamp = false): string {
	const bytes = Uint8Array.from(atob(s.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0))
	if (clamp && bytes.length === 32) {
		bytes[0] = bytes[0]! & 248
		bytes[31] = (bytes[31]! & 127) | 64
	}
	return btoa(String.fromCharCode(...bytes))
}

/** The file of the cell with the private key that it never saw. */
export function withKey(config: string, key: string): string {
	return config.replace(/^# PrivateKey = .*$/m, `PrivateKey = ${key}`)
}
