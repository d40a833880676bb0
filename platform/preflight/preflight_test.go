package preflight

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/datameesh/datameesh/platform/account"
	"github.com/datameesh/datameesh/platform/fetch"
)

// healthy is a machine on which nothing is wrong and nothing is downloaded yet.
func healthy() machine {
	return machine{
		platform: "linux/amd64",
		glibc:    func() bool { return true },
		echo:     func(context.Context, int) error { return nil },
		holder:   func(int) string { return "nginx, process 12" },
		memory:   func() (int64, error) { return 8e9, nil },
		disk:     func(string) (disk, error) { return disk{device: 1, free: 50e9}, nil },
		files:    func() (uint64, error) { return 20000, nil },
		mark:     func(string) error { return nil },
		look:     func(p string) (string, error) { return "/usr/bin/" + p, nil },
		python:   func() (string, error) { return "/usr/bin/" + fetch.Python, nil },
		output: func(_ context.Context, p string, _ ...string) (string, error) {
			return "\x1b[1m" + filepath.Base(p) + " 1.0\x1b[m\nmore\n", nil
		},
		account:  func(string) (account.Account, error) { return account.Account{Name: "ann", UID: 1000}, nil },
		reach:    func(context.Context, account.Account, string) error { return nil },
		writable: func(string) error { return nil },
	}
}

func input() Input {
	return Input{
		Ports:    []Port{{Number: 30081, Wants: "sales-api"}, {Number: 30432, Wants: "sales-db"}},
		StateDir: "/srv/state", CacheDir: "/srv/cache", Build: true, Missing: fetch.Packages(),
	}
}

// withLake is the input of the full profile.
func withLake(in *Input) {
	in.Store = fetch.VersityGW
	in.Missing = append(fetch.Packages(), fetch.LakePackages(fetch.VersityGW)...)
	in.Missing = append(in.Missing, fetch.Package{Name: "dbt", Version: "1", Client: "pip"})
}

func TestHealthyMachine(t *testing.T) {
	checks := healthy().run(t.Context(), input())
	if Failed(checks) {
		t.Error("failed")
	}
	names := map[string]bool{}
	for _, c := range checks {
		if !c.OK || c.Warning || c.Fix != "" || c.Found == "" {
			t.Errorf("%+v", c)
		}
		if strings.ContainsAny(c.Found, "\x1b\n") {
			t.Errorf("%s: found is no plain line: %q", c.Name, c.Found)
		}
		names[c.Name] = true
	}
	for _, want := range []string{"platform", "ports", "memory", "open files", "state folder", "cache folder",
		"disk of /srv/state and /srv/cache", "account", "python3 with pip", "mvn with Java", "go", "gcc"} {
		if !names[want] {
			t.Errorf("no check %q", want)
		}
	}
}

// TestShortfalls changes one thing of a healthy machine at a time; exactly the
// named checks may fail.
func TestShortfalls(t *testing.T) {
	absent := func(program string) func(string) (string, error) {
		return func(p string) (string, error) {
			if p == program {
				return "", errors.New("not found")
			}
			return "/usr/bin/" + p, nil
		}
	}
	broken := func(program string) func(context.Context, string, ...string) (string, error) {
		return func(_ context.Context, p string, _ ...string) (string, error) {
			if filepath.Base(p) == program {
				return "it is broken\n", errors.New("exit status 1")
			}
			return "fine", nil
		}
	}
	busy := func(err error) func(context.Context, int) error {
		return func(_ context.Context, port int) error {
			if port == 30432 {
				return err
			}
			return nil
		}
	}
	for _, c := range []struct {
		name    string
		change  func(*machine, *Input)
		check   string // the one that is not OK; "" for none
		warning bool
		found   string // part
		fix     string // part
	}{
		{"other system", func(m *machine, _ *Input) { m.platform = "darwin/arm64" }, "platform", false, "darwin/arm64", "linux/amd64 only"},
		{"other C library", func(m *machine, _ *Input) { m.glibc = func() bool { return false } }, "platform", false, "without glibc", "glibc"},
		{"port held", func(m *machine, _ *Input) {
			m.echo = busy(&net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)})
		}, "port 30432", false, "sales-db wants it; held by nginx, process 12", "--port-offset"},
		{"port captured", func(m *machine, _ *Input) { m.echo = busy(fmt.Errorf("%w: i/o timeout", errCaptured)) },
			"port 30432", false, "do not reach", "nft list ruleset"},
		{"port forbidden", func(m *machine, _ *Input) {
			m.echo = busy(&net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EACCES)})
		}, "port 30432", false, "may not listen", "1024"},
		{"port held by ourselves", func(m *machine, in *Input) { m.echo = busy(syscall.EADDRINUSE); in.Ports[1].Ours = true }, "", false, "", ""},
		{"little memory", func(m *machine, _ *Input) { m.memory = func() (int64, error) { return 2_900_000_000, nil } },
			"memory", false, "2.9 GB available, 3.0 GB needed", "memory"},
		{"little memory beside a running mesh", func(m *machine, in *Input) {
			m.memory = func() (int64, error) { return 1e9, nil }
			in.Ports[0].Ours = true
		}, "", false, "", ""},
		{"memory unknown", func(m *machine, _ *Input) {
			m.memory = func() (int64, error) { return 0, errors.New("no /proc/meminfo") }
		}, "memory", true, "no /proc/meminfo", "/proc"},
		{"few files", func(m *machine, _ *Input) { m.files = func() (uint64, error) { return 1024, nil } }, "open files", false, "1024", "ulimit"},
		{"little disk", func(m *machine, _ *Input) {
			m.disk = func(string) (disk, error) { return disk{device: 1, free: 2.4e9}, nil }
		}, "disk of /srv/state and /srv/cache", false, "2.4 GB free, 2.5 GB needed", "MEESH_CACHE"},
		{"little disk, but downloads are there", func(m *machine, in *Input) {
			m.disk = func(string) (disk, error) { return disk{device: 1, free: 1.1e9}, nil }
			in.Missing = nil
		}, "", false, "", ""},
		{"read-only disk", func(m *machine, in *Input) {
			in.StateDir, in.CacheDir = "/tmp", "/"
			m.disk = func(dir string) (disk, error) { return disk{free: 50e9, readOnly: dir == "/tmp"}, nil }
		}, "state folder", false, "read-only", "MEESH_HOME"},
		{"noexec disk", func(m *machine, in *Input) {
			in.StateDir, in.CacheDir = "/", "/tmp"
			m.disk = func(dir string) (disk, error) { return disk{free: 50e9, noExec: dir == "/tmp"}, nil }
		}, "cache folder", false, "noexec", "MEESH_CACHE"},
		{"folder of somebody else", func(m *machine, in *Input) {
			in.StateDir, in.CacheDir = "/tmp", "/"
			m.writable = func(dir string) error {
				if dir == "/tmp" {
					return syscall.EACCES
				}
				return nil
			}
		}, "state folder", false, "cannot be written: permission denied", "MEESH_HOME"},
		{"relative folder", func(_ *machine, in *Input) { in.StateDir = ".meesh" }, "state folder", false, "not an absolute path", "MEESH_HOME"},
		{"quotes in a path", func(_ *machine, in *Input) { in.CacheDir = `/srv/it"s` }, "cache folder", false, `'"'`, "MEESH_CACHE"},
		{"file in the way", func(_ *machine, in *Input) { in.StateDir = "/etc/passwd/meesh" }, "state folder", false, "/etc/passwd is not a folder", "MEESH_HOME"},
		{"no way to make the account", func(m *machine, _ *Input) {
			m.account = func(string) (account.Account, error) {
				return account.Account{}, &account.Error{Problem: "no useradd", Fix: "Install it."}
			}
		}, "account", false, "no useradd", "Install it."},
		{"account to be made", func(m *machine, _ *Input) {
			m.account = func(string) (account.Account, error) {
				return account.Account{Name: "meesh", Root: true}, account.ErrAbsent
			}
		}, "", false, "", ""},
		{"account to be made cannot enter", func(m *machine, _ *Input) {
			m.account = func(string) (account.Account, error) {
				return account.Account{Name: "meesh", Root: true}, account.ErrAbsent
			}
			m.reach = func(_ context.Context, a account.Account, dir string) error {
				if a.UID == 0 || dir != "/srv/cache" { // must not be tried as root, who enters everything
					return nil
				}
				return &account.Error{Problem: "the account meesh cannot enter /srv", Fix: "chmod o+x /srv"}
			}
		}, "way to /srv/cache", false, "cannot enter /srv", "chmod o+x"},
		{"no python3", func(m *machine, _ *Input) { m.look = absent("python3") }, "python3 with pip", false, "jdk 25", "apt-get install python3"},
		{"no pip", func(m *machine, _ *Input) { m.output = broken("python3") }, "python3 with pip", false, "no working pip", "python3-pip"},
		{"no mvn", func(m *machine, _ *Input) { m.look = absent("mvn") }, "mvn with Java", false, "postgresql 15.18.0, trino 476", "apt-get install maven"},
		{"no Java", func(m *machine, _ *Input) { m.output = broken("mvn") }, "mvn with Java", false, "it is broken", "JAVA_HOME"},
		{"no mvn, but none needed", func(m *machine, in *Input) { m.look, in.Missing = absent("mvn"), nil }, "", false, "", ""},
		{"no python3, but none needed", func(m *machine, in *Input) { m.look, in.Missing = absent("python3"), nil }, "", false, "", ""},
		{"no go", func(m *machine, _ *Input) { m.look = absent("go") }, "go", true, "not in PATH", "Install Go"},
		{"lake: little memory", func(m *machine, in *Input) {
			withLake(in)
			m.memory = func() (int64, error) { return 3_900_000_000, nil }
		}, "memory", false, "3.9 GB available, 4.0 GB needed", "--profile core) needs 3.0 GB"},
		{"workers: little memory", func(m *machine, in *Input) {
			withLake(in)
			in.Workers = 2
			m.memory = func() (int64, error) { return 7_100_000_000, nil }
		}, "memory", false, "7.1 GB available, 7.2 GB needed", "--trino-workers"},
		{"lake: little disk", func(m *machine, in *Input) {
			withLake(in)
			m.disk = func(string) (disk, error) { return disk{device: 1, free: 3.4e9}, nil }
		}, "disk of /srv/state and /srv/cache", false, "3.4 GB free, 3.5 GB needed", "MEESH_HOME"},
		{"lake: another Python", func(m *machine, in *Input) {
			withLake(in)
			m.python = func() (string, error) { return "", errors.New("not found") }
		}, "python3.11 of dbt", false, "python3.11 is not in PATH", "Debian 12"},
		{"lake: dbt's Python has no pip", func(m *machine, in *Input) { withLake(in); m.output = broken("python3.11") },
			"python3.11 of dbt", false, "-m pip --version does not run", "python3-pip"},
		{"lake: no mvn", func(m *machine, in *Input) { withLake(in); m.look = absent("mvn") }, "mvn with Java", false, "hive-metastore 3.1.3", "apt-get install maven"},
		{"lake: no pip", func(m *machine, in *Input) { withLake(in); m.output = broken("python3") }, "python3 with pip", false, "jdk 21", "python3-pip"},
		{"lake: no go to build its store", func(m *machine, in *Input) { withLake(in); in.Build = false; m.look = absent("go") }, "go", false, "versitygw 1.8.0", "Install Go"},
		{"lake: no go, but none needed", func(m *machine, in *Input) {
			in.Store, in.Missing, in.Build = fetch.VersityGW, nil, false
			m.look = absent("go")
		}, "", false, "", ""},
		{"lake: no extended attributes", func(m *machine, in *Input) {
			withLake(in)
			m.mark = func(string) error { return syscall.ENOTSUP }
		}, "extended attributes", false, "does not keep", "OBJECT_STORE=minio"},
		{"no extended attributes, but MinIO", func(m *machine, in *Input) {
			in.Store = fetch.MinIO
			m.mark = func(string) error { return syscall.ENOTSUP }
		}, "", false, "", ""},
		{"lake: no npm", func(m *machine, in *Input) {
			withLake(in)
			in.Optional = []fetch.Package{{Name: "mailpit", Version: "1", Client: "go"}}
			m.look = absent("npm")
		}, "npm", true, "these are left out without it: mailpit 1", "apt-get install nodejs npm"},
		{"lake: npm is broken", func(m *machine, in *Input) {
			withLake(in)
			in.Optional = []fetch.Package{{Name: "mailpit", Version: "1", Client: "go"}}
			m.output = broken("npm")
		}, "npm", true, "does not run (it is broken)", "apt-get install nodejs npm"},
		{"no npm, but none needed", func(m *machine, in *Input) { m.look = absent("npm") }, "", false, "", ""},
		{"no gcc", func(m *machine, _ *Input) { m.look = absent("gcc") }, "gcc", true, "race detector", "gcc"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, in := healthy(), input()
			c.change(&m, &in)
			checks := m.run(t.Context(), in)
			seen := false
			for _, got := range checks {
				if got.OK {
					continue
				}
				if got.Name != c.check {
					t.Errorf("unexpected: %+v", got)
					continue
				}
				seen = true
				if got.Warning != c.warning || !strings.Contains(got.Found, c.found) || !strings.Contains(got.Fix, c.fix) {
					t.Errorf("%+v", got)
				}
			}
			if c.check != "" && !seen {
				t.Errorf("%s passes", c.check)
			}
			if want := c.check != "" && !c.warning; Failed(checks) != want {
				t.Errorf("Failed is %v", !want)
			}
		})
	}
}

func TestDisksAreCountedApart(t *testing.T) {
	m, in := healthy(), input()
	in.StateDir, in.CacheDir = "/tmp", "/"
	m.disk = func(dir string) (disk, error) {
		if dir == "/tmp" {
			return disk{device: 1, free: 1.2e9}, nil
		}
		return disk{device: 2, free: 1e9}, nil
	}
	for _, c := range m.checkDisk(in) {
		if want := c.Name == "disk of /tmp"; c.OK != want {
			t.Errorf("%+v", c)
		}
	}
}

// freePort is one that the kernel has just given.
func freePort(t *testing.T) (net.Listener, int) {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln, ln.Addr().(*net.TCPAddr).Port
}

func TestEchoOnAFreePort(t *testing.T) {
	ln, port := freePort(t)
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	for range 3 { // also right after the test itself
		if err := echo(t.Context(), port); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEchoOnAHeldPort(t *testing.T) {
	_, port := freePort(t)
	err := echo(t.Context(), port)
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("error: %v", err)
	}
	if got, want := holder(port), fmt.Sprintf("process %d", os.Getpid()); !strings.HasSuffix(got, want) {
		t.Errorf("holder %q, want %q", got, want)
	}
}

// TestEchoOnACapturedPort stands in for packet filters by dialling elsewhere.
func TestEchoOnACapturedPort(t *testing.T) {
	serve := func(answer func(net.Conn)) string {
		ln, _ := freePort(t)
		go func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				go answer(conn)
			}
		}()
		return ln.Addr().String()
	}
	closed, _ := freePort(t)
	_ = closed.Close()
	for name, elsewhere := range map[string]string{
		"REJECT":                    closed.Addr().String(),
		"REDIRECT to an echo":       serve(func(c net.Conn) { _, _ = io.Copy(c, c); _ = c.Close() }),
		"REDIRECT to a web server":  serve(func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n"); _ = c.Close() }),
		"REDIRECT to what hangs up": serve(func(c net.Conn) { _ = c.Close() }),
		"REDIRECT to silence":       serve(func(net.Conn) {}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := echoBy(t.Context(), 0, func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, elsewhere)
			})
			if !errors.Is(err, errCaptured) {
				t.Errorf("error: %v", err)
			}
		})
	}
	t.Run("DROP", func(t *testing.T) {
		t.Parallel()
		err := echoBy(t.Context(), 0, func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done() // no answer ever comes
			return nil, ctx.Err()
		})
		if !errors.Is(err, errCaptured) {
			t.Errorf("error: %v", err)
		}
	})
}

// TestHolderOfAnotherUser: only the number of the user is to be seen then.
func TestHolderOfAnotherUser(t *testing.T) {
	proc := t.TempDir()
	write(t, filepath.Join(proc, "net", "tcp"), `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:7581 0100007F:1F90 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0000000000000000
   1: 0100007F:7581 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1007        0 4711 1 0000000000000000
`)
	if got := holderIn(proc, 30081); got != "a program of user id 1007" {
		t.Errorf("%q", got)
	}
	if got := holderIn(proc, 30082); got != "a program that /proc does not show" {
		t.Errorf("%q", got)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestMemoryOfAContainer(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "a/memory.max"), "4000\n")
	write(t, filepath.Join(root, "a/memory.current"), "3000\n")
	write(t, filepath.Join(root, "a/memory.stat"), "anon 1\ninactive_file 500\n")
	write(t, filepath.Join(root, "a/b/memory.max"), "max\n")
	write(t, filepath.Join(root, "a/b/memory.current"), "10\n")
	if got := groupMemory(root, "/a/b"); got != 1500 {
		t.Errorf("%d left, want 1500: the group above has the limit", got)
	}
	if got := groupMemory(root, "/c"); got < 1<<61 {
		t.Errorf("%d left without a limit", got)
	}
	meminfo := filepath.Join(root, "meminfo")
	write(t, meminfo, "MemTotal:       100 kB\nMemAvailable:   20 kB\n")
	if got, err := memoryIn(meminfo); err != nil || got != 20<<10 {
		t.Errorf("%d %v", got, err)
	}
}

// TestThisMachine runs the real probes; what they find is the machine's affair.
func TestThisMachine(t *testing.T) {
	ln, port := freePort(t)
	_ = ln.Close()
	checks := Run(t.Context(), Input{
		Ports: []Port{{Number: port, Wants: "test"}}, StateDir: filepath.Join(t.TempDir(), "state"), CacheDir: t.TempDir(), Store: fetch.VersityGW,
	})
	for _, c := range checks {
		if c.Found == "" || c.Name == "" || c.OK && c.Fix != "" || !c.OK && c.Fix == "" {
			t.Errorf("%+v", c)
		}
	}
	if checks[1].Name != "ports" || !checks[1].OK {
		t.Errorf("%+v", checks[1])
	}
}
