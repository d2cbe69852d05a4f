package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// postfix starts Postfix and Dovecot on files of their own: the folders that
// Postfix insists on are covered by mounts which only this run sees.
func (l *lab) postfix(ctx context.Context) (*rival, error) {
	for _, name := range []string{"postfix", "dovecot"} {
		if _, err := program(name); err != nil {
			return nil, err
		}
	}
	port, err := closedPort()
	if err != nil {
		return nil, err
	}
	dove, err := l.dovecot(ctx)
	if err != nil {
		return nil, err
	}
	files, err := os.ReadFile("/etc/postfix/postfix-files") // what Postfix checks its folders with
	if err != nil {
		return nil, err
	}
	for name, at := range map[string]string{"etc": "/etc/postfix", "queue": "/var/spool/postfix", "data": "/var/lib/postfix"} {
		dir := filepath.Join(l.dir, "postfix-"+name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, err
		}
		if err := unix.Mount(dir, at, "", unix.MS_BIND, ""); err != nil {
			return nil, fmt.Errorf("covering %s: %w", at, err)
		}
		l.atEnd(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
	}
	for name, text := range map[string]string{
		"main.cf": postfixMain(filepath.Join(l.dir, "lmtp")), "master.cf": postfixMaster(port),
		"postfix-files": string(files), "dynamicmaps.cf": "",
	} {
		if err := os.WriteFile(filepath.Join("/etc/postfix", name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	if _, err := command(ctx, "", "chown", "postfix", "/var/lib/postfix"); err != nil {
		return nil, err
	}
	post, err := l.start(nil, "postfix", "start-fg")
	if err != nil {
		return nil, err
	}
	if err := post.wait(ctx, func() bool { return listening([]uint16{port}, nil) }); err != nil {
		return nil, err
	}
	p := &postbox{at: fmt.Sprintf("127.0.0.1:%d", port), arrived: func() (int64, error) {
		d, err := os.Open(filepath.Join(l.dir, "mail", user, "Maildir/new"))
		if errors.Is(err, os.ErrNotExist) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		defer d.Close()
		all, err := d.Readdirnames(-1)
		return int64(len(all)), err
	}}
	return &rival{procs: []*process{post, dove}, jobs: []job{p.post(1), p.post(10)}}, nil
}

func postfixMain(lmtp string) string {
	return fmt.Sprintf(`compatibility_level = 3.6
myhostname = mail.%[1]s
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 192.0.2.1/32
smtpd_relay_restrictions = reject_unauth_destination
virtual_mailbox_domains = %[1]s
virtual_mailbox_maps = static:yes
virtual_transport = lmtp:unix:%[2]s
alias_maps =
alias_database =
maillog_file = /dev/stdout
`, domain, lmtp)
}

// postfixMaster has the services that Debian's has and this work needs, outside
// of chroot.
func postfixMaster(port uint16) string {
	return fmt.Sprintf(`127.0.0.1:%d inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
`, port)
}

func (l *lab) dovecot(ctx context.Context) (*process, error) {
	box := filepath.Join(l.dir, "mail")
	if err := os.Mkdir(box, 0o755); err != nil {
		return nil, err
	}
	if _, err := command(ctx, "", "chown", "mail:mail", box); err != nil {
		return nil, err
	}
	socket := filepath.Join(l.dir, "lmtp")
	text := fmt.Sprintf(`protocols = lmtp
listen = 127.0.0.1
base_dir = /run/dovecot
log_path = /dev/stderr
ssl = no
mail_location = maildir:~/Maildir
first_valid_uid = 1
auth_username_format = %%Ln
passdb {
  driver = static
  args = nopassword=y
}
userdb {
  driver = static
  args = uid=mail gid=mail home=%s/%%n allow_all_users=yes
}
service lmtp {
  unix_listener %s {
    mode = 0666
  }
}
`, box, socket)
	conf := filepath.Join(l.dir, "dovecot.conf")
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	p, err := l.start(nil, "dovecot", "-F", "-c", conf)
	if err != nil {
		return nil, err
	}
	return p, p.wait(ctx, func() bool {
		_, err := os.Stat(socket)
		return err == nil
	})
}
