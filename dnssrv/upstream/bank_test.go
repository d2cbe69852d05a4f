package upstream

import (
	"fmt"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// In a rush a port takes some questions, but never two at a time.
func TestQuestionsInARushHaveAPortToThemselves(t *testing.T) {
	var mu sync.Mutex
	under, uses := map[string]int{}, map[string]int{}
	f := newFake(t, true, func(w dns.ResponseWriter, r *dns.Msg) {
		port := w.RemoteAddr().String()
		mu.Lock()
		under[port]++
		uses[port]++
		if n := under[port]; n > 1 {
			t.Errorf("%d questions from %s at once", n, port)
		}
		mu.Unlock()
		m := answer(r, "192.0.2.1")
		mu.Lock()
		under[port]--
		mu.Unlock()
		w.WriteMsg(m)
	})
	r := reach(t, f.addr, Options{})
	var wg sync.WaitGroup
	for i := range 4 * rush {
		wg.Go(func() {
			for n := range 50 {
				if got := ask(t, r, question(t, fmt.Sprintf("n%d.h%d.example.", n, i), dns.TypeA)); got != good {
					t.Error(got)
				}
			}
		})
	}
	wg.Wait()
	mu.Lock()
	defer mu.Unlock()
	n, most := 0, 0
	for _, u := range uses {
		n += u
		most = max(most, u)
	}
	// The kernel may pick a port again that was closed.
	if len(uses) == n || len(uses) < n/maxUses/2 || most > 2*maxUses {
		t.Errorf("%d questions came from %d ports, up to %d from one", n, len(uses), most)
	}
	r.bank.mu.Lock()
	defer r.bank.mu.Unlock()
	if r.bank.under != 0 {
		t.Errorf("%d are under way still", r.bank.under)
	}
}

// A socket that had anything but the one reply is not used again.
func TestASocketWithJunkIsNotUsedAgain(t *testing.T) {
	var mu sync.Mutex
	uses := map[string]int{}
	f := newFake(t, true, func(w dns.ResponseWriter, r *dns.Msg) {
		mu.Lock()
		uses[w.RemoteAddr().String()]++
		mu.Unlock()
		forged := answer(r, "192.0.2.66")
		forged.Id++
		w.WriteMsg(forged)
		w.WriteMsg(answer(r, "192.0.2.1"))
	})
	r := reach(t, f.addr, Options{})
	var wg sync.WaitGroup
	for i := range 4 * rush {
		wg.Go(func() {
			for n := range 10 {
				if got := ask(t, r, question(t, fmt.Sprintf("n%d.h%d.example.", n, i), dns.TypeA)); got != good {
					t.Error(got)
				}
			}
		})
	}
	wg.Wait()
	r.bank.mu.Lock()
	defer r.bank.mu.Unlock()
	if n := len(r.bank.idle); n != 0 {
		t.Errorf("%d sockets are kept", n)
	}
}
