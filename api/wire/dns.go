package wire

import (
	"time"

	"pic/core/config"
)

// DNS is the resolver and how it is doing.
type DNS struct {
	Enabled      bool                 `json:"enabled"`
	Zone         string               `json:"zone" doc:"The cell's own domain"`
	Zones        []string             `json:"zones" doc:"Further domains that the cell answers for"`
	Resolver     string               `json:"resolver" enum:"forward,recurse" doc:"How all other names are found out: by the upstreams, or from the root on"`
	Upstreams    []Upstream           `json:"upstreams"`
	Recursion    *Recursion           `json:"recursion,omitempty" doc:"Absent: upstreams are asked"`
	Stats        map[string]uint64    `json:"stats" doc:"Counts since the start: udp, tcp, tls, https, quic, local, cached, forwarded, stale, blocked, rewritten, refused, dropped, limited"`
	CacheEntries int                  `json:"cacheEntries"`
	CacheBytes   int                  `json:"cacheBytes"`
	Validating   bool                 `json:"validating" doc:"Answers of upstreams are checked by DNSSEC"`
	Filtering    bool                 `json:"filtering" doc:"Block lists and rules are in force"`
	PausedUntil  time.Time            `json:"pausedUntil,omitzero" doc:"Nothing is filtered until then"`
	PausedGroups map[string]time.Time `json:"pausedGroups,omitempty" doc:"Groups for whom nothing is filtered, and until when"`
	BlockedNames int                  `json:"blockedNames" doc:"Names of all lists together"`
}

// Recursion is how it goes to ask the servers of the zones themselves.
type Recursion struct {
	Sent        uint64 `json:"sent" doc:"Messages since the start"`
	Failed      uint64 `json:"failed" doc:"Questions without an answer"`
	Delegations int    `json:"delegations" doc:"Zones of which is known who serves them"`
	Servers     int    `json:"servers" doc:"Name servers of which is known how they do"`
	Silent      bool   `json:"silent" doc:"Nobody has answered the last questions"`
}

// An Upstream is a resolver that the cell asks.
type Upstream struct {
	Address   string    `json:"address"`
	For       string    `json:"for,omitempty" doc:"The domain that it alone is asked about; absent: all other names"`
	OK        bool      `json:"ok"`
	LatencyMs float64   `json:"latencyMs" doc:"Smoothed; 0 where it is not known"`
	Asked     uint64    `json:"asked"`
	Failed    uint64    `json:"failed"`
	Error     string    `json:"error,omitempty"`
	Answered  time.Time `json:"answered,omitzero" doc:"When it last answered"`
}

// A DNSRecord is one record that the cell answers with.
type DNSRecord struct {
	Zone   string `json:"zone,omitempty"`
	Name   string `json:"name" doc:"Absolute, without the last dot"`
	Type   string `json:"type"`
	TTL    uint32 `json:"ttl" doc:"Seconds"`
	Value  string `json:"value"`
	Source string `json:"source,omitempty" doc:"Where the cell has it from"`
	Asker  string `json:"asker,omitempty" doc:"Who gets it: host, lan, vpn; absent: everybody"`
}

// A DNSAnswer is what a client would be told.
type DNSAnswer struct {
	Name          string      `json:"name"`
	Type          string      `json:"type"`
	Rcode         string      `json:"rcode" example:"NOERROR"`
	Authoritative bool        `json:"authoritative"`
	Secure        bool        `json:"secure" doc:"Checked by DNSSEC"`
	Answers       []DNSRecord `json:"answers"`
	Authority     []string    `json:"authority" doc:"In presentation format"`
	Reason        string      `json:"reason,omitempty" doc:"Why it failed or was blocked"`
	Verdict       string      `json:"verdict,omitempty" doc:"blocked, allowed or rewritten; absent: no rule is about it"`
	List          string      `json:"list,omitempty" doc:"The list that decided"`
	Rule          string      `json:"rule,omitempty" doc:"The rule that decided"`
	Source        string      `json:"source" doc:"zone, cache, upstream, stale or policy"`
	DurationMs    float64     `json:"durationMs"`
}

// A DNSQuery is a line of the query log.
type DNSQuery struct {
	ID         string    `json:"id" doc:"Grows with time; the cursor of the next page"`
	Time       time.Time `json:"time"`
	Client     string    `json:"client" doc:"Address, or network where the log is anonymous"`
	Device     string    `json:"device,omitempty" doc:"The name of the client, where it has one"`
	Name       string    `json:"name"`
	Type       string    `json:"type"`
	Proto      string    `json:"proto" doc:"udp, tcp, tls, https or quic"`
	Rcode      string    `json:"rcode"`
	Verdict    string    `json:"verdict" doc:"answered, blocked, rewritten, allowed, refused, failed or limited: too much was asked, so it was not answered or told to come back"`
	Source     string    `json:"source" doc:"zone, cache, upstream, stale or policy"`
	List       string    `json:"list,omitempty"`
	Rule       string    `json:"rule,omitempty"`
	Reason     string    `json:"reason,omitempty" doc:"Why it failed or was blocked, in words"`
	Upstream   string    `json:"upstream,omitempty"`
	Answer     string    `json:"answer,omitempty" doc:"The first records, in short"`
	Secure     bool      `json:"secure,omitempty"`
	DurationMs float64   `json:"durationMs"`
}

// DNSQueries is a page of the query log, the newest first.
type DNSQueries struct {
	Queries []DNSQuery `json:"queries"`
	Next    string     `json:"next,omitempty" doc:"Give it as before= to go on; absent: that is all"`
}

// A DNSCount is how often something came up.
type DNSCount struct {
	Key    string `json:"key"`
	Device string `json:"device,omitempty" doc:"The name of the client, where it is one and has one"`
	Count  uint64 `json:"count"`
}

// DNSStats is what the resolver did lately.
type DNSStats struct {
	Since     time.Time   `json:"since"`
	Queries   uint64      `json:"queries"`
	Blocked   uint64      `json:"blocked"`
	Clients   []DNSCount  `json:"clients"`
	Names     []DNSCount  `json:"names"`
	Refused   []DNSCount  `json:"blockedNames"`
	Lists     []DNSCount  `json:"lists" doc:"By the list that blocked"`
	Upstreams []DNSCount  `json:"upstreams"`
	Latency   []DNSBucket `json:"latency" doc:"How long answers took"`
	Series    []DNSPoint  `json:"series" doc:"In equal steps, the oldest first"`
	Step      int         `json:"stepSeconds"`
}

// A DNSBucket counts the answers that took at most UpToMs, and more than the
// bucket before.
type DNSBucket struct {
	UpToMs float64 `json:"upToMs"`
	Count  uint64  `json:"count"`
}

// A DNSPoint is one step of time.
type DNSPoint struct {
	Time    time.Time `json:"time"`
	Queries uint64    `json:"queries"`
	Blocked uint64    `json:"blocked"`
}

// A DNSList is a block or allow list and how it is doing.
type DNSList struct {
	Name     string    `json:"name"`
	URL      string    `json:"url"`
	Allow    bool      `json:"allow,omitempty"`
	Disabled bool      `json:"disabled,omitempty"`
	Rules    int       `json:"rules" doc:"Rules in force"`
	Foreign  int       `json:"foreign" doc:"Rules for browsers, about parts of pages"`
	Skipped  int       `json:"skipped" doc:"Rules that could not be followed"`
	Samples  []string  `json:"samples,omitempty" doc:"Some of those, and why not"`
	Bytes    int64     `json:"bytes"`
	Updated  time.Time `json:"updated,omitzero" doc:"When it was last found to be so"`
	Next     time.Time `json:"next,omitzero" doc:"When it is looked at again"`
	Error    string    `json:"error,omitempty" doc:"Why the last refresh failed; the former content stays in force"`
}

// A DNSService is something that can be blocked by name.
type DNSService struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Kind string `json:"kind" doc:"social, messenger, video, music, games, shopping, dating, ai or other"`
}

// DNSJudgement is what a rule shall be about.
type DNSJudgement struct {
	Name  string `json:"name" minLength:"1" maxLength:"254" example:"ads.example.com"`
	Group string `json:"group,omitempty" maxLength:"64" doc:"For that group only; absent: for everybody"`
}

// DNSPause asks for a pause of the filter.
type DNSPause struct {
	Minutes int    `json:"minutes" minimum:"0" maximum:"10080" doc:"0 ends the pause"`
	Group   string `json:"group,omitempty" maxLength:"64" doc:"For that group only; absent: for everybody"`
}

// DNSImport is a master file to take records from.
type DNSImport struct {
	Text    string `json:"text" maxLength:"1000000"`
	Replace bool   `json:"replace,omitempty" doc:"In place of the records that are there"`
}

// DNSImported is what came of it.
type DNSImported struct {
	Records []config.Record `json:"records" doc:"As they were taken in"`
	Notes   []string        `json:"notes" doc:"What was left out or changed, and why"`
	Outcome
}

// NewDNSKey asks for a TSIG key.
type NewDNSKey struct {
	Name      string `json:"name" minLength:"1" maxLength:"254" example:"acme"`
	Algorithm string `json:"algorithm,omitempty" enum:"hmac-sha224,hmac-sha256,hmac-sha384,hmac-sha512"`
	Secret    string `json:"secret,omitempty" maxLength:"1024" doc:"In base64, where the other side has one already"`
}

// DNSKeyOutcome is a new key and the change that added it.
type DNSKeyOutcome struct {
	Key *DNSKey `json:"key,omitempty"`
	Outcome
}

// A DNSZone is a zone that the cell answers for.
type DNSZone struct {
	Name        string       `json:"name"`
	Kind        string       `json:"kind" doc:"own, document, secondary or reverse"`
	Serial      uint32       `json:"serial"`
	Records     int          `json:"records"`
	Signed      bool         `json:"signed"`
	DS          []string     `json:"ds" doc:"For the parent zone, or as trust anchors"`
	Keys        []DNSSignKey `json:"keys"`
	Secondaries []DNSPartner `json:"secondaries"`
	Primaries   []DNSPartner `json:"primaries"`
	Expires     time.Time    `json:"expires,omitzero" doc:"Of a secondary zone whose primaries do not answer"`
	Updates     int          `json:"updates" doc:"Records that programs put there by updates (RFC 2136)"`
}

// DNSCleared is how much was removed.
type DNSCleared struct {
	Records int `json:"records"`
}

// A DNSSignKey is a key that signs a zone.
type DNSSignKey struct {
	Tag   uint16    `json:"tag"`
	Role  string    `json:"role" doc:"ksk, zsk or csk"`
	State string    `json:"state"`
	Next  time.Time `json:"next,omitzero" doc:"When the state changes next"`
}

// A DNSPartner is another name server of a zone.
type DNSPartner struct {
	Address string    `json:"address"`
	Serial  uint32    `json:"serial" doc:"What it has, as far as is known"`
	Seen    time.Time `json:"seen,omitzero"`
	Error   string    `json:"error,omitempty"`
}

// DNSKey is a new TSIG key. The secret is shown once.
type DNSKey struct {
	Name      string `json:"name"`
	Algorithm string `json:"algorithm"`
	Secret    string `json:"secret" doc:"In base64, as other name servers and nsupdate want it"`
}
