package davsrv

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

func parent(name string) string { return path.Dir(name) }

// maxTree bounds how many files one request walks over.
const maxTree = 100_000

// fileDestination reads where a COPY or MOVE goes.
func (q *request) fileDestination() (target, overwriting, error) {
	to, err := destination(q.r)
	if err != nil {
		return to, keep, err
	}
	over, err := q.overwrite()
	if err != nil {
		return to, keep, err
	}
	from := q.at.path()
	switch {
	case to.tree != treeFiles || to.owner != q.user:
		return to, keep, refuse(http.StatusForbidden, "Files can only go to a place among the user's own files.")
	case len(to.rest) == 0 || to.rest[0] == stagingName || len(q.at.rest) == 0:
		return to, keep, refuse(http.StatusForbidden, "This folder cannot be replaced or moved.")
	case to.path() == from || isBelow(to.path(), from) || isBelow(from, to.path()):
		return to, keep, refuse(http.StatusForbidden, "The destination is within the source, or the other way round.")
	}
	return to, over, nil
}

// A plan is what COPY and MOVE know of their two ends, as checked under the
// home's lock.
type plan struct {
	src, dst *fileInfo // dst is nil where nothing is
	actions  []action
}

// plan checks a COPY or MOVE.
func (q *request) plan(root *os.Root, to target, over overwriting, what verb) (*plan, error) {
	src, err := stat(root, q.at.path())
	if err != nil {
		return nil, err
	}
	if src == nil || q.at.slash && !src.dir {
		return nil, errNoObject
	}
	dst, err := stat(root, to.path())
	if err != nil {
		return nil, err
	}
	if to.slash && !src.dir && dst == nil {
		return nil, refuse(http.StatusConflict, "The destination is a folder that does not exist.")
	}
	if err := parentExists(root, to.path()); err != nil {
		return nil, err
	}
	p := &plan{src: src, dst: dst}
	if dst != nil && over == keep {
		return nil, errPrecondition
	}
	if dst == nil {
		if _, err := root.Lstat(to.path()); err == nil {
			return nil, refuse(http.StatusForbidden, "The destination is something that cannot be replaced.")
		}
		p.actions = append(p.actions, adds(to))
	} else {
		p.actions = append(p.actions, removes(to))
	}
	if what == moves {
		p.actions = append(p.actions, removes(q.at))
	}
	return p, q.mayChange(resourceState{true, src.etag, src.modified}, p.actions...)
}

// moveFile answers MOVE of a file or folder: one rename.
func (q *request) moveFile() error {
	if d, err := q.depth(depthInfinity); err != nil || d != depthInfinity {
		return orElse(err, refuse(http.StatusBadRequest, "A folder is moved with all that is in it."))
	}
	to, over, err := q.fileDestination()
	if err != nil {
		return err
	}
	return q.withHome(func(root *os.Root) error {
		h := q.s.home(q.user)
		h.mu.Lock()
		defer h.mu.Unlock()
		p, err := q.plan(root, to, over, moves)
		if err != nil {
			return err
		}
		from, dest := q.at.path(), to.path()
		if err := q.settle(root, from, dest, p); err != nil {
			return err
		}
		ctx := context.WithoutCancel(q.r.Context())
		err = q.s.store.carryProps(ctx, placeOfFile(q.user, from), placeOfFile(q.user, dest), beneath, moves)
		if err == nil {
			err = q.s.locks.drop(ctx, q.user, from)
		}
		if err == nil {
			err = syncFolder(root, parent(from))
		}
		if err != nil {
			return err
		}
		q.w.WriteHeader(statusFor(p.dst == nil))
		return nil
	})
}

// copyFile answers COPY of a file or folder. The copy is made aside, whole, and
// then takes its place.
func (q *request) copyFile() error {
	how := beneath
	switch d, err := q.depth(depthInfinity); {
	case err != nil:
		return err
	case d == depth0:
		how = alone
	case d == depth1:
		return refuse(http.StatusBadRequest, "A copy has Depth: 0 or infinity.")
	}
	to, over, err := q.fileDestination()
	if err != nil {
		return err
	}
	return q.withHome(func(root *os.Root) error {
		if _, err := q.plan(root, to, over, copies); err != nil { // before the work, and again after
			return err
		}
		staged, err := q.s.staging(root, stagedNew)
		if err != nil {
			return err
		}
		c := copier{q: q, root: root, how: how}
		if err := c.copy(q.at.path(), staged, 0); err != nil {
			return errors.Join(err, root.RemoveAll(staged))
		}
		if err := syncAll(root); err != nil {
			return errors.Join(err, root.RemoveAll(staged))
		}
		h := q.s.home(q.user)
		h.mu.Lock()
		defer h.mu.Unlock()
		p, err := q.plan(root, to, over, copies)
		if err == nil {
			err = q.settle(root, staged, to.path(), p)
		}
		if err != nil {
			return errors.Join(err, root.RemoveAll(staged))
		}
		ctx := context.WithoutCancel(q.r.Context())
		if err := q.s.store.carryProps(ctx, placeOfFile(q.user, q.at.path()), placeOfFile(q.user, to.path()), how, copies); err != nil {
			return err
		}
		q.w.WriteHeader(statusFor(p.dst == nil))
		return nil
	})
}

// settle renames from, which may be staged, to dest. What is at dest is never
// gone before the new is there.
func (q *request) settle(root *os.Root, from, dest string, p *plan) error {
	a, err := openSpot(root, from)
	if err != nil {
		return err
	}
	defer a.dir.Close()
	b, err := openSpot(root, dest)
	if err != nil {
		return err
	}
	defer b.dir.Close()
	switch {
	case p.dst == nil:
		err = rename(a, b, unix.RENAME_NOREPLACE)
	case !p.dst.dir && !p.src.dir:
		err = rename(a, b, 0)
	default:
		err = q.swap(root, a, b, from, dest)
	}
	if err != nil {
		return err
	}
	if p.dst != nil {
		if err := q.dropLocksBelow(dest); err != nil {
			return err
		}
	}
	return b.dir.Sync()
}

// swap exchanges a new tree with the old one and removes the old.
func (q *request) swap(root *os.Root, a, b spot, from, dest string) error {
	gone, err := q.s.staging(root, stagedGone)
	if err != nil {
		return err
	}
	err = rename(a, b, unix.RENAME_EXCHANGE)
	if err != nil && noFlags(err) {
		return q.setAside(root, a, b, dest)
	}
	if err != nil {
		return err
	}
	if err := root.Rename(from, gone); err != nil {
		return err
	}
	q.gone = append(q.gone, gone)
	return nil
}

// setAside is swap where the file system cannot exchange names. After a crash
// in the middle the sweep brings the old tree back under another name.
func (q *request) setAside(root *os.Root, a, b spot, dest string) error {
	old, err := q.s.staging(root, stagedOld)
	if err != nil {
		return err
	}
	if err := root.Rename(dest, old); err != nil {
		return err
	}
	if err := rename(a, b, 0); err != nil {
		return errors.Join(err, root.Rename(old, dest))
	}
	if err := b.dir.Sync(); err != nil {
		return err
	}
	q.gone = append(q.gone, old)
	return nil
}

// dropLocksBelow ends the locks within a tree that was replaced; one on its root
// goes on.
func (q *request) dropLocksBelow(dest string) error {
	all := q.s.locks.of(q.user)
	left := all[:0:0]
	for _, l := range all {
		if !isBelow(l.Path, dest) {
			left = append(left, l)
		}
	}
	if len(left) == len(all) {
		return nil
	}
	return q.s.locks.save(context.WithoutCancel(q.r.Context()), q.user, left)
}

// syncAll makes everything on the disk of root durable.
func syncAll(root *os.Root) error {
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Syncfs(int(d.Fd()))
}

// A copier copies a tree. Links, devices and pipes are left out.
type copier struct {
	q    *request
	root *os.Root
	how  reach
	n    int
}

func (c *copier) copy(from, to string, depth int) error {
	if err := c.q.r.Context().Err(); err != nil {
		return err
	}
	if c.n++; c.n > maxTree || depth > maxSegments {
		return refuse(http.StatusInsufficientStorage, "The folder is too large to be copied in one go.")
	}
	f, err := stat(c.root, from)
	if err != nil || f == nil {
		return err
	}
	if !f.dir {
		return c.file(from, to)
	}
	if err := c.root.Mkdir(to, 0o700); err != nil || c.how == alone {
		return err
	}
	names, err := folderNames(c.root, from)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := c.copy(path.Join(from, n), to+"/"+n, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) file(from, to string) error {
	in, err := openRegular(c.root, from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := c.root.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in) // by copy_file_range, where the disk can share blocks
	return errors.Join(err, out.Close())
}

// folderNames are the names in a folder, the staging folder left out.
func folderNames(root *os.Root, dir string) ([]string, error) {
	d, err := root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(maxTree + 1)
	if err == io.EOF {
		err = nil
	}
	if len(names) > maxTree {
		return nil, refuse(http.StatusInsufficientStorage, "The folder is too large.")
	}
	if dir == "." {
		for i, n := range names {
			if n == stagingName {
				names = append(names[:i], names[i+1:]...)
				break
			}
		}
	}
	return names, err
}

// deleteFile answers DELETE of a file or folder. A folder vanishes as a whole
// and is removed afterwards.
func (q *request) deleteFile() error {
	if len(q.at.rest) == 0 {
		return refuse(http.StatusForbidden, "The user's folder itself cannot be deleted.")
	}
	if d, err := q.depth(depthInfinity); err != nil || d != depthInfinity {
		return orElse(err, refuse(http.StatusBadRequest, "A folder is deleted with all that is in it."))
	}
	return q.withHome(func(root *os.Root) error {
		if err := q.unname(root); err != nil {
			return err
		}
		if err := syncFolder(root, parent(q.at.path())); err != nil {
			return err
		}
		q.w.WriteHeader(http.StatusNoContent)
		return nil
	})
}

// unname takes the name away from what the request deletes.
func (q *request) unname(root *os.Root) error {
	name := q.at.path()
	h := q.s.home(q.user)
	h.mu.Lock()
	defer h.mu.Unlock()
	f, err := stat(root, name)
	if err != nil {
		return err
	}
	if f == nil || q.at.slash && !f.dir {
		return errNoObject
	}
	if err := q.mayChange(resourceState{true, f.etag, f.modified}, removes(q.at)); err != nil {
		return err
	}
	gone, err := q.s.staging(root, stagedGone)
	if err != nil {
		return err
	}
	if err := root.Rename(name, gone); err != nil {
		return err
	}
	q.gone = append(q.gone, gone)
	ctx := context.WithoutCancel(q.r.Context())
	if err := q.s.store.dropProps(ctx, placeOfFile(q.user, name)); err != nil {
		return err
	}
	return q.s.locks.drop(ctx, q.user, name)
}
