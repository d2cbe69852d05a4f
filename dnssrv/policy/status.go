package policy

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// ListStatus is how a list is doing.
type ListStatus struct {
	Name     string `json:"name"`
	URL      string `json:"url"`
	Allow    bool   `json:"allow"`
	Disabled bool   `json:"disabled"`
	Stats
	Bytes   int64         `json:"bytes"`            // of the copy on disk
	Updated time.Time     `json:"updated,omitzero"` // when its content last changed
	Checked time.Time     `json:"checked,omitzero"` // when that was last found to be so
	Age     time.Duration `json:"age"`              // since Checked
	Next    time.Time     `json:"next,omitzero"`    // when it is looked at again
	Error   string        `json:"error,omitempty"`  // why it could not be refreshed
	Since   time.Time     `json:"since,omitzero"`   // how long that has been so
}

// Status returns how the lists are doing, in the order of the document.
func (e *Engine) Status() []ListStatus {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	out := []ListStatus{}
	for _, l := range e.c.conf.Filter.Lists {
		st := ListStatus{Name: l.Name, URL: l.URL, Allow: l.Allow, Disabled: l.Disabled}
		if h := e.lists[l.URL]; h != nil {
			st.Stats, st.Bytes, st.Next, st.Since = h.stats, h.copy.size, h.next, h.since
			st.Updated, st.Checked = h.copy.Changed, h.copy.checked
			st.Samples = slices.Clone(h.stats.Samples)
			if n := st.Leading; n > 0 && !l.Rewrite {
				st.Rules, st.Skipped = st.Rules-n, st.Skipped+n
				st.Samples = append([]string{fmt.Sprintf(
					"%d rules send names to other names or addresses, which this list may not; set its rewrite in dns.filter.lists if you trust it with that", n)}, st.Samples...)
			}
			if !st.Checked.IsZero() {
				st.Age = max(0, now.Sub(st.Checked))
			}
			if err := cmp.Or(h.err, h.broken); err != nil {
				st.Error = err.Error()
			}
		}
		out = append(out, st)
	}
	return out
}

// Memory is how many bytes the names of lists take.
func (e *Engine) Memory() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.lib == nil || e.lib.table == nil {
		return 0
	}
	return e.lib.table.Bytes()
}
