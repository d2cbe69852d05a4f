package davsrv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"pic/core/service"
	"pic/internal/listen"
)

var (
	_ service.Server[Config] = (*Server)(nil)
	_ service.Reporter       = (*Server)(nil)
)

// Check refuses what could not be applied: users whose names cannot be those of
// folders.
func (s *Server) Check(_ context.Context, c Config) error {
	for _, u := range c.Users {
		if checkSegment(u.Name) != nil || u.Name[0] == '.' {
			return fmt.Errorf("the user %q cannot have files: the name cannot be that of a folder", u.Name)
		}
	}
	return nil
}

// Apply makes the server follow c. The first one opens the folder of the files.
func (s *Server) Apply(ctx context.Context, c Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(); err != nil {
		return err
	}
	swap, err := s.sockets.Open(ctx, c.Sockets)
	if err != nil {
		return err
	}
	who := &directory{enabled: c.Enabled, insiders: c.Insiders, domain: c.Domain, display: make(map[string]string)}
	for _, u := range c.Users {
		who.display[u.Name] = u.Display
	}
	s.who.Store(who)
	for _, b := range swap.Added() {
		s.serveOn(b)
	}
	swap.Commit()
	return nil
}

// open reads locks and opens the files' folder, unless that is done.
func (s *Server) open() error {
	if s.base.Load() != nil {
		return nil
	}
	if err := os.MkdirAll(s.filesDir, 0o700); err != nil {
		return fmt.Errorf("making the folder for files: %w", err)
	}
	base, err := os.OpenRoot(s.filesDir)
	if err != nil {
		return fmt.Errorf("opening the folder for files: %w", err)
	}
	if err := s.locks.load(); err != nil {
		return errors.Join(err, base.Close())
	}
	s.base.Store(base)
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.serveInsiders),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	return nil
}

// serveOn answers on a socket until it is closed.
func (s *Server) serveOn(b listen.Bound) {
	srv := s.http
	s.serving.Go(func() {
		err := srv.Serve(b.Listener)
		if err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("a socket failed", "listen", b.Listener.Addr().String(), "err", err)
		}
	})
	s.log.Info("serving", "listen", b.Listener.Addr().String())
}

// serveInsiders is the handler of the server's own sockets.
func (s *Server) serveInsiders(w http.ResponseWriter, r *http.Request) {
	from := clientAddr(r)
	for _, p := range s.who.Load().insiders {
		if p.Contains(from) {
			s.serve(w, r)
			return
		}
	}
	s.log.Debug("refused a stranger", "from", r.RemoteAddr)
	http.Error(w, "This service is for the household only.", http.StatusForbidden)
}

// shutdown is how long requests may take to end once Run is told to.
const shutdown = 5 * time.Second

// Run serves until ctx is done.
func (s *Server) Run(ctx context.Context) error {
	if base := s.base.Load(); base != nil {
		if err := s.sweep(base); err != nil {
			s.log.Warn("the staging folders could not be tidied", "err", err)
		}
	}
	<-ctx.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sockets.Close()
	if s.http != nil {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdown)
		defer cancel()
		if err := s.http.Shutdown(end); err != nil {
			s.http.Close()
		}
	}
	s.serving.Wait()
	s.expand.wait()
	if base := s.base.Swap(nil); base != nil {
		base.Close()
	}
	return nil
}

// Sockets lists what the server listens on.
func (s *Server) Sockets() []string { return s.sockets.Sockets() }

// Problems lists what is wrong now.
func (s *Server) Problems() []service.Problem { return nil }

// Facts tells how much is kept.
func (s *Server) Facts() []service.Fact {
	all, err := s.store.all()
	if err != nil {
		return nil
	}
	calendars, books, objects := 0, 0, uint64(0)
	for _, c := range all {
		objects += c.count
		if c.Shelf == shelfCalendar {
			calendars++
		} else {
			books++
		}
	}
	return []service.Fact{
		{Name: "calendars", Value: strconv.Itoa(calendars)},
		{Name: "address books", Value: strconv.Itoa(books)},
		{Name: "events, tasks and contacts", Value: strconv.FormatUint(objects, 10)},
	}
}
