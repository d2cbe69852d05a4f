package policy

import "slices"

// ServiceInfo is a service of the Internet that can be blocked as a whole.
type ServiceInfo struct {
	ID    string   `json:"id"`    // as in config.Filter.Services
	Name  string   `json:"name"`  // as it calls itself
	Kind  string   `json:"kind"`  // social, messenger, video, music, games, shopping, dating, ai or other
	Names []string `json:"names"` // blocked with all below them
}

// Services returns all that can be blocked, by name.
func Services() []ServiceInfo {
	out := slices.Clone(services)
	for i := range out {
		out[i].Names = slices.Clone(out[i].Names)
	}
	return out
}

// serviceIndex returns the number of a service, -1 for an unknown one.
func serviceIndex(id string) int {
	return slices.IndexFunc(services, func(s ServiceInfo) bool { return s.ID == id })
}

// A serviceMap is the services by the names, in wire form, that they have.
type serviceMap map[string][]int

func newServiceMap() serviceMap {
	m := serviceMap{}
	for i, s := range services {
		for _, n := range s.Names {
			if wire, ok := wireOf(n); ok {
				m[wire] = append(m[wire], i)
			}
		}
	}
	return m
}

// find returns a service in use that has the name, -1 if there is none.
func (m serviceMap) find(name string, use *bits) int {
	if *use == (bits{}) {
		return -1
	}
	for ; len(name) > 1; name = parent(name) {
		for _, i := range m[name] {
			if use.has(i) {
				return i
			}
		}
	}
	return -1
}

var services = []ServiceInfo{
	{"4chan", "4chan", "social", []string{"4chan.org", "4cdn.org", "4channel.org"}},
	{"9gag", "9GAG", "social", []string{"9gag.com", "9cache.com"}},
	{"aliexpress", "AliExpress", "shopping", []string{"aliexpress.com", "aliexpress.ru", "aliexpress.us", "ae01.alicdn.com", "ae04.alicdn.com", "aliexpress-media.com"}},
	{"amazon", "Amazon", "shopping", []string{"amazon.com", "amazon.co.uk", "amazon.de", "amazon.fr", "amazon.es", "amazon.it", "amazon.nl", "amazon.pl", "amazon.se", "amazon.ca", "amazon.in", "amazon.co.jp", "amazon.com.au", "amazon.com.br", "amazon.com.mx", "amazon.com.tr", "a2z.com", "media-amazon.com", "ssl-images-amazon.com", "images-amazon.com"}},
	{"apple-music", "Apple Music", "music", []string{"music.apple.com", "itunes.apple.com", "audio-ssl.itunes.apple.com"}},
	{"badoo", "Badoo", "dating", []string{"badoo.com", "badoocdn.com"}},
	{"battlenet", "Battle.net", "games", []string{"battle.net", "battlenet.com", "battlenet.com.cn", "blizzard.com", "blz-contentstack.com", "bnet.163.com"}},
	{"bereal", "BeReal", "social", []string{"bereal.com", "bere.al", "bereal.network"}},
	{"bluesky", "Bluesky", "social", []string{"bsky.app", "bsky.social", "bsky.network", "bskyapp.com"}},
	{"bumble", "Bumble", "dating", []string{"bumble.com", "bumbcdn.com"}},
	{"chatgpt", "ChatGPT", "ai", []string{"chatgpt.com", "chat.openai.com", "openai.com", "oaistatic.com", "oaiusercontent.com"}},
	{"character-ai", "Character.AI", "ai", []string{"character.ai", "beta.character.ai"}},
	{"claude", "Claude", "ai", []string{"claude.ai", "claude.com", "claudeusercontent.com"}},
	{"crunchyroll", "Crunchyroll", "video", []string{"crunchyroll.com", "vrv.co", "crunchyrollsvc.com"}},
	{"dailymotion", "Dailymotion", "video", []string{"dailymotion.com", "dai.ly", "dmcdn.net", "dm-event.net"}},
	{"deezer", "Deezer", "music", []string{"deezer.com", "dzcdn.net", "deezer.page.link"}},
	{"discord", "Discord", "messenger", []string{"discord.com", "discord.gg", "discordapp.com", "discordapp.net", "discord.media", "discord.dev", "discord.new", "discord.gift", "discordstatus.com"}},
	{"disney-plus", "Disney+", "video", []string{"disneyplus.com", "disney-plus.net", "dssott.com", "bamgrid.com", "disneyplus.com.ssl.sc.omtrdc.net"}},
	{"ebay", "eBay", "shopping", []string{"ebay.com", "ebay.co.uk", "ebay.de", "ebay.fr", "ebay.it", "ebay.es", "ebay.pl", "ebay.nl", "ebay.at", "ebay.ch", "ebay.ca", "ebay.com.au", "ebayimg.com", "ebaystatic.com", "ebayrtm.com"}},
	{"epic-games", "Epic Games and Fortnite", "games", []string{"epicgames.com", "epicgames.dev", "epicgamescdn.com", "unrealengine.com", "fortnite.com", "easyanticheat.net", "eac-cdn.com"}},
	{"facebook", "Facebook and Messenger", "social", []string{"facebook.com", "facebook.net", "fbcdn.net", "fbcdn.com", "fbsbx.com", "fb.com", "fb.me", "fb.gg", "fb.watch", "fbwat.ch", "messenger.com", "m.me", "facebookcorewwwi.onion", "tfbnw.net"}},
	{"gemini", "Gemini", "ai", []string{"gemini.google.com", "bard.google.com", "generativelanguage.googleapis.com"}},
	{"hulu", "Hulu", "video", []string{"hulu.com", "huluim.com", "hulustream.com", "huluad.com"}},
	{"imgur", "Imgur", "social", []string{"imgur.com", "imgur.io"}},
	{"instagram", "Instagram", "social", []string{"instagram.com", "cdninstagram.com", "instagr.am", "ig.me", "igcdn.com"}},
	{"kik", "Kik", "messenger", []string{"kik.com", "kik-live.com", "kikinteractive.appspot.com"}},
	{"leagueoflegends", "League of Legends and Riot", "games", []string{"leagueoflegends.com", "riotgames.com", "riotcdn.net", "lolesports.com", "playvalorant.com", "pvp.net"}},
	{"line", "LINE", "messenger", []string{"line.me", "line-apps.com", "line-scdn.net", "line.naver.jp", "linecorp.com", "line-cdn.net"}},
	{"linkedin", "LinkedIn", "social", []string{"linkedin.com", "licdn.com", "lnkd.in", "linkedin.cn"}},
	{"mastodon", "Mastodon", "social", []string{"mastodon.social", "mastodon.online", "joinmastodon.org", "mstdn.social", "mstdn.jp", "mas.to", "mastodon.world", "fosstodon.org"}},
	{"max", "Max (HBO)", "video", []string{"max.com", "hbomax.com", "hbo.com", "hbomaxcdn.com", "hbonow.com", "hbogo.com"}},
	{"minecraft", "Minecraft", "games", []string{"minecraft.net", "mojang.com", "minecraftservices.com", "minecraft-services.net", "minecraftprod.rtep.msgamestudios.com"}},
	{"netflix", "Netflix", "video", []string{"netflix.com", "netflix.net", "nflxext.com", "nflximg.com", "nflximg.net", "nflxso.net", "nflxvideo.net", "nflxsearch.net", "fast.com"}},
	{"nintendo", "Nintendo", "games", []string{"nintendo.com", "nintendo.net", "nintendo.co.jp", "nintendo-europe.com", "nintendoswitch.com"}},
	{"onlyfans", "OnlyFans", "social", []string{"onlyfans.com"}},
	{"paramount-plus", "Paramount+", "video", []string{"paramountplus.com", "pplusstatic.com", "cbsaavideo.com", "cbsivideo.com"}},
	{"pinterest", "Pinterest", "social", []string{"pinterest.com", "pinimg.com", "pin.it", "pinterest.co.uk", "pinterest.de", "pinterest.fr", "pinterest.es", "pinterest.it", "pinterest.ca", "pinterest.com.au", "pinterest.jp"}},
	{"playstation", "PlayStation", "games", []string{"playstation.com", "playstation.net", "sonyentertainmentnetwork.com", "scea.com", "dl.playstation.net"}},
	{"primevideo", "Prime Video", "video", []string{"primevideo.com", "amazonvideo.com", "aiv-cdn.net", "aiv-delivery.net", "pv-cdn.net", "atv-ps.amazon.com", "fls-na.amazon.com", "video.a2z.com"}},
	{"reddit", "Reddit", "social", []string{"reddit.com", "redd.it", "redditmedia.com", "redditstatic.com", "redditinc.com", "reddit.map.fastly.net"}},
	{"roblox", "Roblox", "games", []string{"roblox.com", "rbxcdn.com", "robloxlabs.com", "roblox.cn", "rbx.com", "robloxdev.cn"}},
	{"shein", "SHEIN", "shopping", []string{"shein.com", "shein.co.uk", "shein.se", "sheingroup.com", "ltwebstatic.com", "sheincorp.cn"}},
	{"signal", "Signal", "messenger", []string{"signal.org", "whispersystems.org", "signal.art", "signal.me", "signal.group"}},
	{"skype", "Skype", "messenger", []string{"skype.com", "skypeassets.com", "skypedata.akadns.net", "lync.com", "trouter.io"}},
	{"snapchat", "Snapchat", "social", []string{"snapchat.com", "sc-cdn.net", "snap.com", "snapkit.com", "snapads.com", "sc-gw.com", "sc-prod.net", "sc-static.net", "bitmoji.com", "feelinsonice.l.google.com", "feelinsonice-hrd.appspot.com"}},
	{"soundcloud", "SoundCloud", "music", []string{"soundcloud.com", "sndcdn.com", "soundcloud.cloud"}},
	{"spotify", "Spotify", "music", []string{"spotify.com", "scdn.co", "spotifycdn.com", "spotifycdn.net", "spotify.link", "spotilocal.com", "pscdn.co", "byspotify.com", "audio-ak-spotify-com.akamaized.net", "heads-ak-spotify-com.akamaized.net"}},
	{"steam", "Steam", "games", []string{"steampowered.com", "steamcommunity.com", "steamgames.com", "steamusercontent.com", "steamcontent.com", "steamstatic.com", "steamserver.net", "steamcdn-a.akamaihd.net", "steam-chat.com", "valvesoftware.com", "s.team"}},
	{"telegram", "Telegram", "messenger", []string{"telegram.org", "telegram.me", "t.me", "telegra.ph", "telegram.dog", "tdesktop.com", "telesco.pe", "cdn-telegram.org", "tx.me", "graph.org"}},
	{"temu", "Temu", "shopping", []string{"temu.com", "kwcdn.com", "temu.to"}},
	{"threads", "Threads", "social", []string{"threads.net", "threads.com"}},
	{"tiktok", "TikTok", "social", []string{"tiktok.com", "tiktokv.com", "tiktokv.us", "tiktokv.eu", "tiktokcdn.com", "tiktokcdn-us.com", "tiktokcdn-eu.com", "tiktokw.us", "tiktokw.eu", "tiktokd.org", "ttwstatic.com", "ttlivecdn.com", "musical.ly", "muscdn.com", "byteoversea.com", "ibytedtos.com", "ibyteimg.com", "ipstatp.com", "pstatp.com", "bytefcdn-oversea.com", "tiktokeu-cdn.com"}},
	{"tinder", "Tinder", "dating", []string{"tinder.com", "gotinder.com", "tindersparks.com"}},
	{"tumblr", "Tumblr", "social", []string{"tumblr.com", "tumblr.co", "txmblr.com"}},
	{"twitch", "Twitch", "video", []string{"twitch.tv", "ttvnw.net", "jtvnw.net", "twitchcdn.net", "twitchsvc.net", "live-video.net", "ext-twitch.tv"}},
	{"viber", "Viber", "messenger", []string{"viber.com", "viber.io", "viber.co.jp"}},
	{"vimeo", "Vimeo", "video", []string{"vimeo.com", "vimeocdn.com", "livestream.com", "vhx.tv", "vimeobusiness.com"}},
	{"vk", "VK", "social", []string{"vk.com", "vk.ru", "vk.me", "vkuser.net", "vkuservideo.net", "vkuseraudio.net", "vk-cdn.net", "userapi.com", "vkontakte.ru", "vk-portal.net"}},
	{"wechat", "WeChat", "messenger", []string{"wechat.com", "weixin.qq.com", "weixin.com", "wx.qq.com", "weixinbridge.com", "servicewechat.com", "wechatapp.com"}},
	{"whatsapp", "WhatsApp", "messenger", []string{"whatsapp.com", "whatsapp.net", "wa.me", "whatsapp.biz", "wl.co"}},
	{"x", "X (Twitter)", "social", []string{"x.com", "twitter.com", "t.co", "twimg.com", "twitpic.com", "pscp.tv", "periscope.tv", "tweetdeck.com", "vine.co"}},
	{"xbox", "Xbox Live", "games", []string{"xbox.com", "xboxlive.com", "xboxservices.com", "xboxab.com", "gamepass.com", "xboxgamepass.com", "assets1.xboxlive.com"}},
	{"youtube", "YouTube", "video", []string{"youtube.com", "youtu.be", "youtube-nocookie.com", "youtubekids.com", "youtubei.googleapis.com", "youtube.googleapis.com", "youtube-ui.l.google.com", "youtubeeducation.com", "ytimg.com", "ggpht.com", "googlevideo.com", "yt.be", "wide-youtube.l.google.com"}},
	{"zhihu", "Zhihu", "social", []string{"zhihu.com", "zhimg.com"}},
	{"zoom", "Zoom", "messenger", []string{"zoom.us", "zoom.com", "zoomgov.com", "zoom.com.cn", "zmtr.net"}},
}
