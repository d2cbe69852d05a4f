package policy

// A form is how a rule about one name was written, and with that what it covers
// and does.
type form uint8

const (
	formHosts          form = 1 + iota // 0.0.0.0 name
	formName                           // name
	formStar                           // *.name
	formBlock                          // ||name^
	formBlockImportant                 // ||name^$important
	formAllow                          // @@||name^
	formAllowImportant                 // @@||name^$important
	formExact                          // |name^
	formExactAllow                     // @@|name^
	formRPZ                            // name CNAME .
	formRPZBelow                       // *.name CNAME .
	formPass                           // name CNAME rpz-passthru.
	formPassBelow                      // *.name CNAME rpz-passthru.
	forms
)

// A strength ranks rules; where several are about a name, the strongest counts.
type strength uint8

const (
	blocks strength = 1 + iota
	rewrites
	allows
	blocksImportant
	rewritesImportant
	allowsImportant
)

func (s strength) action() Action {
	switch s {
	case blocks, blocksImportant:
		return Block
	case rewrites, rewritesImportant:
		return Rewrite
	case allows, allowsImportant:
		return Allow
	}
	return None
}

// allowed is the strength of a block in a list whose names are let through.
func (s strength) allowed() strength {
	switch s {
	case blocks:
		return allows
	case blocksImportant:
		return allowsImportant
	}
	return s
}

var formTraits = [forms]struct {
	before, after string
	self, below   bool
	strength      strength
	zone          bool // of a response policy zone, where the closest name counts
}{
	formHosts:          {"0.0.0.0 ", "", true, false, blocks, false},
	formName:           {"", "", true, false, blocks, false},
	formStar:           {"*.", "", true, true, blocks, false},
	formBlock:          {"||", "^", true, true, blocks, false},
	formBlockImportant: {"||", "^$important", true, true, blocksImportant, false},
	formAllow:          {"@@||", "^", true, true, allows, false},
	formAllowImportant: {"@@||", "^$important", true, true, allowsImportant, false},
	formExact:          {"|", "^", true, false, blocks, false},
	formExactAllow:     {"@@|", "^", true, false, allows, false},
	formRPZ:            {"", " CNAME .", true, false, blocks, true},
	formRPZBelow:       {"*.", " CNAME .", false, true, blocks, true},
	formPass:           {"", " CNAME rpz-passthru.", true, false, allows, true},
	formPassBelow:      {"*.", " CNAME rpz-passthru.", false, true, allows, true},
}

// covers reports whether a rule of that form is about a name so many labels
// below its own.
func (f form) covers(depth int) bool {
	t := &formTraits[f]
	return depth == 0 && t.self || depth > 0 && t.below
}

// text returns the rule about a name in wire form, as one would write it.
func (f form) text(wire string) string {
	t := &formTraits[f]
	return t.before + textOf(wire) + t.after
}
