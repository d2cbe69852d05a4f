package wire

import "time"

// QueuedMail is a message that waits to be sent to other places.
type QueuedMail struct {
	ID         string            `json:"id"`
	From       string            `json:"from"`
	User       string            `json:"user,omitempty" doc:"Who sent it"`
	Subject    string            `json:"subject"`
	Created    time.Time         `json:"created"`
	Bytes      int64             `json:"bytes"`
	Held       bool              `json:"held" doc:"It waits until somebody lets it go on"`
	Recipients []QueuedRecipient `json:"recipients"`
}

// QueuedRecipient is one of those whom a queued message is for.
type QueuedRecipient struct {
	Address  string    `json:"address"`
	State    string    `json:"state" enum:"waiting,sent,failed"`
	Attempts int       `json:"attempts"`
	Next     time.Time `json:"next,omitzero" doc:"When it is tried again"`
	Host     string    `json:"host,omitempty" doc:"That was asked last"`
	Why      string    `json:"why,omitempty" doc:"Why it did not go"`
}

// MailDomain is how a domain of the cell stands with others.
type MailDomain struct {
	Domain  string       `json:"domain"`
	Local   bool         `json:"local" doc:"Of a kind that exists at home only: nobody outside can send to it"`
	Records []MailRecord `json:"records"`
}

// MailRecord is a DNS record that a mail domain should have.
type MailRecord struct {
	Kind  string   `json:"kind" enum:"MX,SPF,DKIM,DMARC"`
	Name  string   `json:"name"`
	Type  string   `json:"type"`
	Want  string   `json:"want" doc:"What to publish"`
	Found []string `json:"found"`
	State string   `json:"state" enum:"good,missing,wrong,unknown"`
	Why   string   `json:"why" doc:"What goes wrong without it"`
}

// NewSmarthost is a provider's server that sends the cell's mail on.
type NewSmarthost struct {
	Host     string `json:"host" minLength:"1" maxLength:"253"`
	Port     uint16 `json:"port,omitempty" doc:"465 (the default) or 587"`
	User     string `json:"user,omitempty" maxLength:"320"`
	Password string `json:"password,omitempty" maxLength:"1024" doc:"Goes to the vault; leave it out to keep the one that is there"`
}

// Smarthost is what the cell knows of it.
type Smarthost struct {
	Host string `json:"host"`
	Port uint16 `json:"port"`
	User string `json:"user,omitempty"`
}
