package imapd

import (
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		name, pattern string
		want          bool
	}{
		{"INBOX", "inbox", true},
		{"INBOX", "*", true},
		{"INBOX", "%", true},
		{"INBOX", "in*", false},
		{"a/b", "%", false},
		{"a/b", "*", true},
		{"a/b", "a/%", true},
		{"a/b", "%/%", true},
		{"a/b/c", "%/%", false},
		{"a/b/c", "a*c", true},
		{"a", "a%", true},
		{"a", "a*", true},
		{"a", "", false},
		{"", "*", true},
		{"abc", "a%c", true},
		{"abc", "a%d", false},
		{"INBOX/x", "inbox/%", true},
		{strings.Repeat("a", 500), strings.Repeat("*a", 200) + "b", false},
	} {
		if got := match(tt.name, tt.pattern); got != tt.want {
			t.Errorf("match(%.20q, %.20q) = %v", tt.name, tt.pattern, got)
		}
	}
}
