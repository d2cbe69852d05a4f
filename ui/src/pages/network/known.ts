// Block lists that many households use. Each is kept by its own people, under
// its own licence; the cell only fetches what somebody chose.
import { t } from "../../kit/words"

export const known = [
	{
		name: "StevenBlack",
		url: "https://raw.githubusercontent.com/StevenBlack/hosts/master/hosts",
		about: t("Advertising and malware, about 100,000 names"),
	},
	{
		name: "AdGuard DNS",
		url: "https://adguardteam.github.io/HostlistsRegistry/assets/filter_1.txt",
		about: t("Advertising and trackers, about 150,000 names"),
	},
	{
		name: "OISD small",
		url: "https://small.oisd.nl",
		about: t("Advertising, seldom in the way of anything"),
	},
	{
		name: "HaGeZi Light",
		url: "https://raw.githubusercontent.com/hagezi/dns-blocklists/main/adblock/light.txt",
		about: t("Advertising, trackers and malware, made to break nothing"),
	},
	{
		name: "Peter Lowe",
		url: "https://pgl.yoyo.org/adservers/serverlist.php?hostformat=hosts&showintro=0&mimetype=plaintext",
		about: t("Advertising, short and careful, about 3,500 names"),
	},
	{
		name: "URLhaus",
		url: "https://urlhaus.abuse.ch/downloads/hostfile/",
		about: t("Hosts of malware that are alive now"),
	},
] as const
