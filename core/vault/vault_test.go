package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pic/core/config"
	"pic/internal/faultfs"
)

func make1(t *testing.T) (*Vault, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "vault")
	v, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return v, dir
}

func put(t *testing.T, v *Vault, kind, secret string) config.Secret {
	t.Helper()
	id, err := v.Put(t.Context(), kind, []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestSecretsComeBack(t *testing.T) {
	v, dir := make1(t)
	start := time.Now().Truncate(time.Second)
	a, b := put(t, v, "wireguard/key", "first"), put(t, v, "dkim", "")
	if a == b {
		t.Fatal("one id for two secrets")
	}
	again, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[config.Secret]string{a: "first", b: ""} {
		if got, err := again.Get(id); err != nil || string(got) != want {
			t.Errorf("Get(%s) = %q, %v", id, got, err)
		}
	}
	list, err := again.List()
	if err != nil || len(list) != 2 || list[0].Created.Before(start) {
		t.Fatalf("List = %v, %v", list, err)
	}
	if i := slices.IndexFunc(list, func(e Entry) bool { return e.ID == a }); list[i].Kind != "wireguard/key" {
		t.Errorf("List = %v", list)
	}
	if err := v.Delete(a); err != nil {
		t.Error(err)
	}
	if err := v.Delete(a); err != nil {
		t.Errorf("deleting twice: %v", err)
	}
	if _, err := v.Get(a); !errors.Is(err, ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		st, _ := f.Info()
		content, _ := os.ReadFile(filepath.Join(dir, f.Name()))
		if st.Mode().Perm() != 0o600 || bytes.Contains(content, []byte("first")) {
			t.Errorf("%s: mode %v, content %q", f.Name(), st.Mode(), content)
		}
	}
	if st, _ := os.Stat(dir); st.Mode().Perm() != 0o700 {
		t.Errorf("the folder has mode %v", st.Mode())
	}
}

func TestIDsNeverLeaveTheFolder(t *testing.T) {
	v, dir := make1(t)
	if err := os.WriteFile(filepath.Join(dir, "..", "outside"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, id := range []config.Secret{
		"", "key", "../outside", "..", "/etc/passwd", "aaaaaaaaaaaaaaaaaaaaaaaaaa",
		"../../../../../etc/passwd0", "AAAAAAAAAAAAAAAAAAAAAAAAAA", "aaaaaaaaaaaaaaaaaaaaaaaaa\x00",
	} {
		if _, err := v.Get(id); !errors.Is(err, ErrNotFound) {
			t.Errorf("Get(%q): %v", id, err)
		}
		if err := v.Delete(id); err != nil {
			t.Errorf("Delete(%q): %v", id, err)
		}
	}
	for _, path := range []string{"key", "../outside"} {
		if _, err := os.Stat(filepath.Join(dir, path)); err != nil {
			t.Error(err)
		}
	}
}

func TestTamperingShows(t *testing.T) {
	v, dir := make1(t)
	id, other := put(t, v, "dkim", "hunter2"), put(t, v, "dkim", "hunter2")
	path := filepath.Join(dir, string(id))
	good, _ := os.ReadFile(path)
	foreign, _ := os.ReadFile(filepath.Join(dir, string(other)))
	bad := map[string][]byte{
		"empty":         {},
		"other file":    foreign,
		"other kind":    bytes.Replace(good, []byte("dkim"), []byte("dkin"), 1),
		"longer":        append(slices.Clone(good), 0),
		"other spacing": bytes.Replace(good, []byte("dkim "), []byte("dkim +"), 1),
	}
	for i := range good {
		b := slices.Clone(good)
		b[i] ^= 1
		bad[fmt.Sprint("bit of byte ", i)] = b
		bad[fmt.Sprint("cut at ", i)] = good[:i]
	}
	for name, file := range bad {
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := v.Get(id)
		if !errors.Is(err, ErrSealed) || got != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error tells the secret: %v", name, err)
		}
		if _, err := v.List(); err != nil {
			t.Errorf("%s: List: %v", name, err)
		}
	}
	stranger, _ := make1(t)
	if err := os.WriteFile(stranger.path(id), good, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Get(id); !errors.Is(err, ErrSealed) {
		t.Errorf("another cell's vault: %v", err)
	}
}

func TestBlobsAreBoundToTheirContext(t *testing.T) {
	v, _ := make1(t)
	sealed := v.Seal("certs/home.example", []byte("key"))
	if bytes.Equal(sealed, v.Seal("certs/home.example", []byte("key"))) {
		t.Error("the same bytes twice")
	}
	if got, err := v.Unseal("certs/home.example", sealed); err != nil || string(got) != "key" {
		t.Errorf("Unseal = %q, %v", got, err)
	}
	flipped := slices.Clone(sealed)
	flipped[len(flipped)-1] ^= 1
	for name, tt := range map[string]struct {
		context string
		sealed  []byte
	}{
		"other context": {"certs/mail.example", sealed}, "flipped": {"certs/home.example", flipped},
		"short": {"certs/home.example", sealed[:10]}, "empty": {"certs/home.example", nil},
	} {
		if got, err := v.Unseal(tt.context, tt.sealed); !errors.Is(err, ErrSealed) || got != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestPutRefuses(t *testing.T) {
	v, _ := make1(t)
	for _, kind := range []string{"", "Upper", "with space", "new\nline", strings.Repeat("x", 65)} {
		if _, err := v.Put(t.Context(), kind, nil); err == nil {
			t.Errorf("kind %q was accepted", kind)
		}
	}
	if _, err := v.Put(t.Context(), "k", make([]byte, MaxSize+1)); err == nil {
		t.Error("a huge secret was accepted")
	}
	id, err := v.Put(t.Context(), "k", make([]byte, MaxSize))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := v.Get(id); err != nil || len(got) != MaxSize {
		t.Errorf("the largest secret: %d bytes, %v", len(got), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := v.Put(ctx, "k", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a done context: %v", err)
	}
}

func TestOpenRefusesABadKey(t *testing.T) {
	for name, tt := range map[string]struct {
		harm func(key string) error
		want string
	}{
		"readable": {func(k string) error { return os.Chmod(k, 0o640) }, "chmod 600 "},
		"writable": {func(k string) error { return os.Chmod(k, 0o602) }, "chmod 600 "},
		"gone":     {os.Remove, "put it back from a backup"},
		"empty":    {func(k string) error { return os.Truncate(k, 0) }, "put it back from a backup"},
		"short":    {func(k string) error { return os.Truncate(k, 30) }, "put it back from a backup"},
		"a link": {func(k string) error {
			return errors.Join(os.Rename(k, k+"2"), os.Symlink(k+"2", k))
		}, "plain file"},
	} {
		v, dir := make1(t)
		put(t, v, "k", "s")
		key := filepath.Join(dir, "key")
		if err := tt.harm(key); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever fails, secrets that were put stay, and no half ones appear.
func TestFailuresLeaveTheVaultWhole(t *testing.T) {
	for n := 1; ; n++ {
		dir := t.TempDir()
		fs := faultfs.FailAt(faultfs.OS, n, syscall.ENOSPC)
		v, err := open(fs, dir)
		if err == nil {
			var ids []config.Secret
			for range 3 {
				if id, err := v.Put(t.Context(), "k", []byte("s")); err == nil {
					ids = append(ids, id)
				} else if !errors.Is(err, syscall.ENOSPC) {
					t.Errorf("at %d: %v", n, err)
				}
			}
			if list, err := v.List(); err != nil || len(list) != len(ids) {
				t.Errorf("at %d: %d secrets of %d, %v", n, len(list), len(ids), err)
			}
			again, err := Open(dir)
			if err != nil {
				t.Fatalf("at %d: %v", n, err)
			}
			for _, id := range ids {
				if got, err := again.Get(id); err != nil || string(got) != "s" {
					t.Errorf("at %d: %q, %v", n, got, err)
				}
			}
			if files, _ := os.ReadDir(dir); len(files) != len(ids)+1 {
				t.Errorf("at %d: files %v", n, files)
			}
		} else if _, err := Open(dir); err != nil {
			t.Errorf("at %d: not to be opened after a failed first start: %v", n, err)
		}
		if !fs.Failed() {
			break
		}
	}
}

func TestVaultIsSafeForManyAtOnce(t *testing.T) {
	v, _ := make1(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 5 {
				want := fmt.Sprint(i, n)
				id := put(t, v, "k", want)
				if got, err := v.Get(id); err != nil || string(got) != want {
					t.Errorf("Get = %q, %v", got, err)
				}
				if _, err := v.List(); err != nil {
					t.Error(err)
				}
				if err := v.Delete(id); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestValueNeverShows(t *testing.T) {
	secret := Value("hunter2")
	held := struct{ Key Value }{secret}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "key", secret, "held", held)
	js, err := json.Marshal(held)
	if err != nil {
		t.Fatal(err)
	}
	out := fmt.Sprintln(secret, held, log.String(), string(js)) +
		fmt.Sprintf("%s %v %+v %#v %q %x %d %v", secret, secret, held, held, secret, secret, secret, &held)
	for _, form := range []string{"hunter2", fmt.Sprintf("%x", "hunter2"), "104 117", "aHVudGVy"} {
		if strings.Contains(out, form) {
			t.Errorf("shows as %q in %s", form, out)
		}
	}
	if string(secret) != "hunter2" {
		t.Error("is of no use any more")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("pic-secret-1 dkim 1700000000\nnonce and sealed"))
	f.Add([]byte("pic-secret-1 dkim -5\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		h, sealed, err := parse(file)
		if err != nil {
			return
		}
		if !bytes.Equal(append(h.line(), sealed...), file) || !validKind(h.kind) {
			t.Errorf("%q parsed as %q and %q", file, h.line(), sealed)
		}
	})
}
