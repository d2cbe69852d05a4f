package davsrv

import (
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"pic/internal/order"
)

// entries yields what is in a folder in batches, in the order of the disk.
func (q *request) entries(r *resource, emit func([]*resource) error) error {
	return q.withHome(func(root *os.Root) error {
		return readFolder(root, r.file.path, func(batch []*fileInfo) error {
			rs := make([]*resource, len(batch))
			for i, f := range batch {
				rs[i] = fileResource(r.owner, f)
			}
			return emit(rs)
		})
	})
}

// readFolder yields what clients may see of a folder.
func readFolder(root *os.Root, dir string, emit func([]*fileInfo) error) error {
	sub, err := root.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer sub.Close()
	d, err := sub.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(pageRows)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var batch []*fileInfo
		for _, n := range names {
			if dir == "." && n == stagingName || checkSegment(n) != nil {
				continue
			}
			f, err := stat(sub, n)
			if err != nil {
				return err
			}
			if f != nil {
				f.path = path.Join(dir, n)
				batch = append(batch, f)
			}
		}
		if err := emit(batch); err != nil {
			return err
		}
	}
}

// maxInfinity bounds the answer to a PROPFIND with Depth: infinity.
const maxInfinity = 5_000

// descend lists all below a folder, or refuses where that is too much.
func (q *request) descend(r *resource) ([]*resource, error) {
	var out []*resource
	err := q.withHome(func(root *os.Root) error {
		for folders := []string{r.file.path}; len(folders) > 0; {
			dir := folders[len(folders)-1]
			folders = folders[:len(folders)-1]
			err := readFolder(root, dir, func(batch []*fileInfo) error {
				for _, f := range batch {
					if out = append(out, fileResource(r.owner, f)); len(out) > maxInfinity {
						return errFiniteDepth
					}
					if f.dir {
						folders = append(folders, f.path)
					}
				}
				return q.r.Context().Err()
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// CollectionInfo describes a calendar or an address book, for people.
type CollectionInfo struct {
	Owner   string
	Name    string // last segment of Path
	Kind    string // calendar or contacts
	Display string
	Color   string // #RRGGBBAA as clients set it, or empty
	Objects int
	Path    string // percent-encoded, from /dav/ on
}

// Collections lists a user's calendars and address books, those of everybody
// where user is empty. It is safe for concurrent use.
func (s *Server) Collections(user string) ([]CollectionInfo, error) {
	all, err := s.store.all()
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(c *collection) bool { return user != "" && c.Owner != user })
	places := make([]place, len(all))
	for i, c := range all {
		places[i] = c.place()
	}
	props, err := s.store.props(places...)
	if err != nil {
		return nil, err
	}
	out := make([]CollectionInfo, len(all))
	for i, c := range all {
		r := collectionResource(c)
		r.dead = props[i]
		out[i] = CollectionInfo{
			Owner: c.Owner, Name: c.Name, Kind: string(c.Shelf), Objects: int(c.count), Path: r.href,
			Display: r.deadText(dav("displayname"), c.Name), Color: r.deadText(calendarColor, ""),
		}
	}
	return out, nil
}

// FileInfo is one entry of a folder.
type FileInfo struct {
	Name     string
	Dir      bool
	Size     int64 // bytes; 0 for folders
	Modified time.Time
}

// maxListing bounds what Files returns.
const maxListing = 10_000

// Files lists a folder among a user's files, folders first, by name. name is
// slash-separated and relative to the user's files; empty is their root. An
// error with a method HTTP() (status int, text string) is a refusal in words for
// people, such as where there is no such folder. It is safe for concurrent use.
func (s *Server) Files(user, name string) ([]FileInfo, error) {
	t := target{tree: treeFiles, owner: user}
	for seg := range strings.SplitSeq(strings.Trim(name, "/"), "/") {
		if seg == "" && len(t.rest) == 0 {
			continue
		}
		if err := checkSegment(seg); err != nil {
			return nil, err
		}
		t.rest = append(t.rest, seg)
	}
	if len(t.rest) > 0 && t.rest[0] == stagingName {
		return nil, errNoObject
	}
	root, err := s.openHome(user)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := stat(root, t.path())
	if err == nil && (f == nil || !f.dir) {
		err = errNoObject
	}
	if err != nil {
		return nil, fileTrouble(err)
	}
	var out []FileInfo
	err = readFolder(root, t.path(), func(batch []*fileInfo) error {
		for _, f := range batch {
			fi := FileInfo{Name: path.Base(f.path), Dir: f.dir, Modified: f.modified}
			if !f.dir {
				fi.Size = f.size
			}
			out = append(out, fi)
		}
		if len(out) > maxListing {
			return errFiniteDepth
		}
		return nil
	})
	order.By(out, func(a, b FileInfo) int {
		if a.Dir != b.Dir {
			if a.Dir {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out, fileTrouble(err)
}
