// Package preflight checks the machine before the mesh is started on it.
package preflight

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/datameesh/datameesh/platform/account"
	"github.com/datameesh/datameesh/platform/fetch"
)

// What the mesh needs on top of the downloads, in bytes where nothing else is
// said. Memory is what was measured after queries that fill Trino's heap, and air.
const (
	needMemory       = 3_000_000_000 // the core profile with Trino
	needMemoryLake   = 1_000_000_000 // object store, metastore, what writes into them
	needMemoryWorker = 1_600_000_000 // each of Trino's workers
	needState        = 1_000_000_000 // databases, their logs, Trino's spill and logs
	needStateLake    = 500_000_000   // objects, and files on their way there
	needFiles        = 4096          // open files: Trino refuses to start with fewer
)

// A Port is one TCP port on 127.0.0.1 that the mesh will listen on.
type Port struct {
	Number int
	Wants  string // component that wants it
	Ours   bool   // held by our own running mesh, and so no shortfall
}

// Input says what to check. Folders need not exist yet.
type Input struct {
	Ports    []Port
	StateDir string
	CacheDir string
	Missing  []fetch.Package // what the cache does not hold yet
	Optional []fetch.Package // missing too, but the mesh starts without them
	Store    fetch.Store     // of the data lake; empty without one
	Workers  int             // of Trino
	Build    bool            // say whether go and gcc are there, too; without them is a warning
}

// memory that the mesh needs.
func (in Input) memory() int64 {
	need := int64(needMemory) + int64(in.Workers)*needMemoryWorker
	if in.Store != "" {
		need += needMemoryLake
	}
	return need
}

// state is the disk space that the state folder needs.
func (in Input) state() int64 {
	if in.Store != "" {
		return needState + needStateLake
	}
	return needState
}

// A Check is one finding.
type Check struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Warning bool   `json:"warning,omitempty"` // not OK, but the mesh can be started
	Found   string `json:"found"`
	Fix     string `json:"fix,omitempty"` // what to do; empty when OK
}

// Run makes all checks, also after one has failed; only on a platform that the
// mesh does not support it stops there.
func Run(ctx context.Context, in Input) []Check { return system().run(ctx, in) }

// Failed tells whether a check stands against starting the mesh.
func Failed(checks []Check) bool {
	for _, c := range checks {
		if !c.OK && !c.Warning {
			return true
		}
	}
	return false
}

// machine is what the checks ask; tests bring their own.
type machine struct {
	platform string // GOOS/GOARCH
	glibc    func() bool
	echo     func(ctx context.Context, port int) error
	holder   func(port int) string
	memory   func() (int64, error)
	disk     func(dir string) (disk, error)
	files    func() (uint64, error)
	mark     func(dir string) error // keep an extended attribute of a file there
	look     func(program string) (string, error)
	python   func() (string, error) // that dbt runs on
	output   func(ctx context.Context, program string, args ...string) (string, error)
	account  func(stateDir string) (account.Account, error)
	reach    func(ctx context.Context, a account.Account, dir string) error
	writable func(dir string) error
}

func system() machine {
	return machine{
		platform: runtime.GOOS + "/" + runtime.GOARCH,
		glibc:    func() bool { _, err := os.Stat("/lib64/ld-linux-x86-64.so.2"); return err == nil },
		echo:     echo,
		holder:   holder,
		memory:   availableMemory,
		disk:     diskOf,
		files: func() (uint64, error) {
			var limit syscall.Rlimit
			err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
			return limit.Max, err // the JVM raises its own limit to this one
		},
		mark:   mark,
		look:   exec.LookPath,
		python: fetch.FindPython,
		output: func(ctx context.Context, program string, args ...string) (string, error) {
			out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
			return string(out), err
		},
		account:  account.Look,
		reach:    func(ctx context.Context, a account.Account, dir string) error { return a.Reach(ctx, dir) },
		writable: func(dir string) error { return syscall.Access(dir, 2 /* W_OK */) },
	}
}

func (m machine) run(ctx context.Context, in Input) []Check {
	platform := m.checkPlatform()
	if !platform.OK {
		return []Check{platform}
	}
	checks := []Check{platform}
	checks = append(checks, m.checkPorts(ctx, in.Ports)...)
	checks = append(checks, m.checkMemory(in), m.checkFiles())
	checks = append(checks, m.checkFolder("state folder", "MEESH_HOME", in.StateDir), m.checkFolder("cache folder", "MEESH_CACHE", in.CacheDir))
	checks = append(checks, m.checkDisk(in)...)
	if in.Store == fetch.VersityGW {
		checks = append(checks, m.checkAttributes(in.StateDir)...)
	}
	checks = append(checks, m.checkAccount(ctx, in)...)
	checks = append(checks, m.checkPython(ctx, in.Missing), m.checkMaven(ctx, in.Missing))
	if in.Store != "" {
		checks = append(checks, m.checkDBT(ctx, in.Missing))
	}
	if want := wanted(in.Missing, "go"); want != "" || in.Build {
		checks = append(checks, m.checkGo(ctx, want))
	}
	if len(in.Optional) > 0 {
		checks = append(checks, m.checkNPM(ctx, in.Optional))
	}
	if in.Build {
		checks = append(checks, m.checkCompiler(ctx))
	}
	return checks
}

func (m machine) checkPlatform() Check {
	c := Check{Name: "platform", Found: m.platform}
	switch {
	case m.platform != "linux/amd64":
		c.Fix = "DataMeesh runs on linux/amd64 only, because that is what its PostgreSQL, Trino and Java are packaged for; use such a machine."
	case !m.glibc():
		c.Found += " without glibc"
		c.Fix = "DataMeesh needs a Linux with glibc (Debian, Ubuntu, Fedora, SUSE …), because its PostgreSQL and Java are built for it; use such a machine."
	default:
		c.OK = true
	}
	return c
}

// checkPorts returns one finding for all ports that are free, and one for each
// that is not.
func (m machine) checkPorts(ctx context.Context, ports []Port) []Check {
	type result struct {
		err    error
		holder string
	}
	results := make([]chan result, len(ports))
	for i, p := range ports {
		results[i] = make(chan result, 1)
		if p.Ours {
			results[i] <- result{}
			continue
		}
		// A captured port is found by waiting, so the ports wait side by side.
		go func() {
			r := result{err: m.echo(ctx, p.Number)}
			if errors.Is(r.err, syscall.EADDRINUSE) {
				r.holder = m.holder(p.Number)
			}
			results[i] <- r
		}()
	}
	var (
		bad  []Check
		free int
		ours int
	)
	const elsewhere = "move the mesh with --port-offset N"
	for i, p := range ports {
		r := <-results[i]
		c := Check{Name: fmt.Sprintf("port %d", p.Number)}
		switch {
		case p.Ours:
			ours++
			continue
		case r.err == nil:
			free++
			continue
		case errors.Is(r.err, syscall.EADDRINUSE):
			c.Found = fmt.Sprintf("%s wants it; held by %s", p.Wants, r.holder)
			c.Fix = "End that program, or " + elsewhere + "."
		case errors.Is(r.err, syscall.EACCES):
			c.Found = fmt.Sprintf("%s wants it; this user may not listen on it", p.Wants)
			c.Fix = "Choose ports of 1024 and above: " + elsewhere + "."
		case errors.Is(r.err, errCaptured):
			c.Found = fmt.Sprintf("%s wants it; %v", p.Wants, r.err)
			c.Fix = "Remove the packet filter's rule for this port (`iptables -t nat -S`, `nft list ruleset` show it), or " + elsewhere + "."
		default:
			c.Found = fmt.Sprintf("%s wants it; %v", p.Wants, r.err)
			c.Fix = "Choose ports from 1024 to 65535: " + elsewhere + "."
		}
		bad = append(bad, c)
	}
	if len(ports) == 0 || free+ours == 0 {
		return bad
	}
	found := fmt.Sprintf("%d free", free)
	if ours > 0 {
		found += fmt.Sprintf(", %d held by this mesh, which is running", ours)
	}
	return append([]Check{{Name: "ports", OK: true, Found: found}}, bad...)
}

func running(ports []Port) bool {
	for _, p := range ports {
		if p.Ours {
			return true
		}
	}
	return false
}

func (m machine) checkMemory(in Input) Check {
	c, need := Check{Name: "memory"}, in.memory()
	available, err := m.memory()
	if err != nil {
		c.Found, c.Warning, c.Fix = err.Error(), true, "Mount /proc, so that the free memory can be told."
		return c
	}
	c.Found = gigabytes(available) + " available"
	if running(in.Ports) {
		c.OK = true
		c.Found += "; this mesh is running and has its share"
		return c
	}
	c.Found += ", " + gigabytes(need) + " needed"
	if c.OK = available >= need; !c.OK {
		c.Fix = "End other programs, raise the container's memory limit, or use a machine with more memory."
		switch {
		case in.Workers > 0:
			c.Fix += " Fewer --trino-workers need less."
		case in.Store != "":
			c.Fix += " Without the data lake, a new mesh (--profile core) needs " + gigabytes(need-needMemoryLake) + "."
		}
	}
	return c
}

func (m machine) checkFiles() Check {
	c := Check{Name: "open files"}
	limit, err := m.files()
	if err != nil {
		c.Found, c.Warning, c.Fix = err.Error(), true, "See what `ulimit -Hn` says."
		return c
	}
	c.Found = fmt.Sprintf("hard limit %d, %d needed", limit, needFiles)
	if limit > 1<<40 {
		c.Found = "no limit"
	}
	if c.OK = limit >= needFiles; !c.OK {
		c.Fix = "Raise the limit: `ulimit -Hn 65536` as root, or LimitNOFILE, or /etc/security/limits.conf."
	}
	return c
}

// checkFolder looks for what makes a path unfit, before anything is written to it.
func (m machine) checkFolder(name, variable, dir string) Check {
	c := Check{Name: name, Found: dir, Fix: "Set " + variable + " to another folder."}
	if !filepath.IsAbs(dir) {
		c.Found = fmt.Sprintf("%q is not an absolute path", dir)
		return c
	}
	// These end up in options of pg_ctl, in properties files and in JVM options.
	if i := strings.IndexFunc(dir, func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune("\"'`\\$,;#", r) }); i >= 0 {
		c.Found = fmt.Sprintf("%q holds the character %q, which configuration files of the servers cannot hold", dir, []rune(dir[i:])[0])
		return c
	}
	top, err := existing(dir)
	if err != nil {
		c.Found = err.Error()
		return c
	}
	d, err := m.disk(top)
	switch {
	case err != nil:
		c.Found = err.Error()
	case d.readOnly:
		c.Found = top + " lies on a file system that is mounted read-only"
	case d.noExec && variable == "MEESH_CACHE":
		c.Found = top + " lies on a file system that is mounted noexec, and programs are to be run from it"
	case m.writable(top) != nil:
		c.Found = fmt.Sprintf("%s cannot be written: %v", top, m.writable(top))
	default:
		c.OK, c.Fix = true, ""
	}
	return c
}

// existing is dir or the nearest folder above it that exists.
func existing(dir string) (string, error) {
	for d := dir; ; d = filepath.Dir(d) {
		info, err := os.Stat(d)
		switch {
		case err == nil && info.IsDir():
			return d, nil
		case err == nil:
			return "", fmt.Errorf("%s is not a folder", d)
		case errors.Is(err, syscall.ENOTDIR) || errors.Is(err, os.ErrNotExist):
			// A link that leads nowhere exists, and no folder can be made in its place.
			if l, lErr := os.Lstat(d); lErr == nil && l.Mode()&os.ModeSymlink != 0 {
				return "", fmt.Errorf("%s is a link that leads nowhere", d)
			}
			if d == filepath.Dir(d) {
				return "", err
			}
		default:
			return "", err
		}
	}
}

// checkDisk adds up the needs of folders on the same disk.
func (m machine) checkDisk(in Input) []Check {
	type need struct {
		disk  disk
		bytes int64
		dirs  []string
	}
	var downloads int64
	for _, p := range slices.Concat(in.Missing, in.Optional) {
		downloads += p.Bytes + p.TreeBytes
	}
	if downloads > 0 {
		downloads += 50_000_000 // what the clients need for themselves
	}
	var (
		needs  []need
		checks []Check
	)
	for _, want := range []need{{bytes: in.state(), dirs: []string{in.StateDir}}, {bytes: downloads, dirs: []string{in.CacheDir}}} {
		top, err := existing(want.dirs[0])
		if err != nil {
			continue // checkFolder has told
		}
		d, err := m.disk(top)
		if err != nil {
			continue
		}
		if len(needs) > 0 && needs[0].disk.device == d.device {
			needs[0].bytes += want.bytes
			needs[0].dirs = append(needs[0].dirs, want.dirs...)
			continue
		}
		want.disk = d
		needs = append(needs, want)
	}
	for _, n := range needs {
		c := Check{
			Name:  "disk of " + strings.Join(n.dirs, " and "),
			OK:    n.disk.free >= n.bytes,
			Found: fmt.Sprintf("%s free, %s needed", gigabytes(n.disk.free), gigabytes(n.bytes)),
		}
		if running(in.Ports) && !c.OK && n.disk.free >= downloads {
			c.OK = true // the state is there already
		}
		if !c.OK {
			c.Fix = "Free some space, or set MEESH_HOME (state) or MEESH_CACHE (downloads) to a folder on another disk."
		}
		checks = append(checks, c)
	}
	return checks
}

func (m machine) checkAccount(ctx context.Context, in Input) []Check {
	c := Check{Name: "account"}
	a, err := m.account(in.StateDir)
	if accountErr, ok := errors.AsType[*account.Error](err); ok {
		c.Found, c.Fix = accountErr.Problem, accountErr.Fix
		return []Check{c}
	}
	switch {
	case errors.Is(err, account.ErrAbsent):
		c.Found = "started by root; the servers will run as " + a.Name + ", which is made at the start"
		// Which folders it will enter is tried as nobody: like it, no folder's owner.
		const nobody = 65534
		a.UID, a.GID = nobody, nobody
	case err != nil:
		c.Found, c.Fix = err.Error(), "See whether `id` works."
		return []Check{c}
	case a.Root:
		c.Found = "started by root; the servers run as " + a.Name
	default:
		c.Found = "the servers run as " + a.Name
	}
	c.OK = true
	checks := []Check{c}
	for _, dir := range []string{in.StateDir, in.CacheDir} {
		if err := m.reach(ctx, a, dir); err != nil {
			r := Check{Name: "way to " + dir, Found: err.Error(), Fix: "Choose another folder with MEESH_HOME (state) or MEESH_CACHE (downloads)."}
			if accountErr, ok := errors.AsType[*account.Error](err); ok {
				r.Found, r.Fix = accountErr.Problem, accountErr.Fix
			}
			checks = append(checks, r)
		}
	}
	return checks
}

// wanted names the missing packages that a client would download.
func wanted(missing []fetch.Package, client string) string {
	var names []string
	for _, p := range missing {
		if p.Client == client {
			names = append(names, p.String())
		}
	}
	return strings.Join(names, ", ")
}

const notNeeded = "; not needed, what it downloads is in the cache"

func (m machine) checkPython(ctx context.Context, missing []fetch.Package) Check {
	c := Check{Name: "python3 with pip"}
	want := wanted(missing, "pip")
	path, err := m.look("python3")
	switch {
	case err != nil && want == "":
		c.OK, c.Found = true, "python3 is not in PATH"+notNeeded
		return c
	case err != nil:
		c.Found = "python3 is not in PATH; needed to download " + want
		c.Fix = "Install it (Debian: apt-get install python3 python3-pip)."
		return c
	case want == "":
		c.OK, c.Found = true, path
		return c
	}
	out, err := m.output(ctx, path, "-m", "pip", "--version")
	if c.Found = first(out); err != nil {
		c.Found = fmt.Sprintf("%s has no working pip (%s); needed to download %s", path, c.Found, want)
		c.Fix = "Install it (Debian: apt-get install python3-pip)."
		return c
	}
	c.OK = true
	return c
}

// checkDBT looks for the one Python that dbt's requirements are locked for; dbt
// is installed by its pip and runs on it ever after.
func (m machine) checkDBT(ctx context.Context, missing []fetch.Package) Check {
	c := Check{Name: fetch.Python + " of dbt", Fix: "Install it (Debian 12: apt-get install python3 python3-pip)."}
	path, err := m.python()
	if err != nil {
		c.Found = fetch.Python + " is not in PATH; dbt runs on it"
		return c
	}
	args := []string{"--version"}
	if slices.ContainsFunc(missing, func(p fetch.Package) bool { return p.Name == "dbt" }) {
		args = []string{"-m", "pip", "--version"}
	}
	out, err := m.output(ctx, path, args...)
	if err != nil {
		c.Found = fmt.Sprintf("%s %s does not run (%s); dbt is installed by it and runs on it", path, strings.Join(args, " "), first(out))
		return c
	}
	return Check{Name: c.Name, OK: true, Found: path + ", " + first(out)}
}

func (m machine) checkMaven(ctx context.Context, missing []fetch.Package) Check {
	c := Check{Name: "mvn with Java"}
	want := wanted(missing, "mvn")
	path, err := m.look("mvn")
	switch {
	case err != nil && want == "":
		c.OK, c.Found = true, "mvn is not in PATH"+notNeeded
		return c
	case err != nil:
		c.Found = "mvn (Maven) is not in PATH; needed to download " + want
		c.Fix = "Install it (Debian: apt-get install maven)."
		return c
	case want == "":
		c.OK, c.Found = true, path
		return c
	}
	out, err := m.output(ctx, path, "-B", "-v") // starts Java, too
	if c.Found = first(out); err != nil {
		c.Found = fmt.Sprintf("%s does not run (%s); needed to download %s", path, c.Found, want)
		c.Fix = "Install a Java runtime (Debian: apt-get install default-jre-headless) or set JAVA_HOME."
		return c
	}
	c.OK = true
	return c
}

// checkAttributes: versitygw keeps who may do what in extended attributes.
func (m machine) checkAttributes(dir string) []Check {
	top, err := existing(dir)
	if err != nil {
		return nil // checkFolder has told
	}
	c := Check{Name: "extended attributes", OK: true, Found: top + " keeps them"}
	if err := m.mark(top); err != nil {
		c.OK, c.Found = false, fmt.Sprintf("%s does not keep extended attributes (%v), which the object store needs for its rights", top, err)
		c.Fix = "Set MEESH_HOME to a folder on ext4, xfs or btrfs, or take the other object store: OBJECT_STORE=minio."
	}
	return []Check{c}
}

// checkGo only warns when nothing is to be built by it: a mesh that is built
// already runs without a compiler.
func (m machine) checkGo(ctx context.Context, want string) Check {
	c := Check{Name: "go"}
	why := "needed by `make up` and `make test` to build"
	if want != "" {
		why = "needed to build " + want
	}
	path, err := m.look(c.Name)
	if err != nil {
		c.Found = "go is not in PATH; " + why
	} else if out, err := m.output(ctx, path, "version"); err != nil {
		c.Found = path + " does not run: " + first(out) + "; " + why
	} else {
		c.OK, c.Found = true, first(out)
		return c
	}
	c.Warning, c.Fix = want == "", "Install Go 1.26 or newer."
	return c
}

// checkNPM only warns: what is built by it is left out without it.
func (m machine) checkNPM(ctx context.Context, optional []fetch.Package) Check {
	want := strings.Join(slices.DeleteFunc([]string{wanted(optional, "go"), wanted(optional, "npm")}, func(s string) bool { return s == "" }), ", ")
	c := Check{Name: "npm", Warning: true, Fix: "Install it (Debian 12: apt-get install nodejs npm)."}
	path, err := m.look(c.Name)
	if err != nil {
		c.Found = "npm is not in PATH; these are left out without it: " + want
		return c
	}
	out, err := m.output(ctx, path, "--version")
	if err != nil {
		c.Found = fmt.Sprintf("%s does not run (%s); these are left out without it: %s", path, first(out), want)
		return c
	}
	return Check{Name: c.Name, OK: true, Found: first(out)}
}

// checkCompiler only warns: the mesh itself needs no C compiler.
func (m machine) checkCompiler(ctx context.Context) Check {
	c := Check{Name: "gcc", Warning: true, Fix: "Install it (Debian: apt-get install gcc libc6-dev)."}
	path, err := m.look(c.Name)
	if err != nil {
		c.Found = "gcc is not in PATH; needed by `make test` for the race detector"
		return c
	}
	out, err := m.output(ctx, path, "--version")
	if err != nil {
		c.Found = path + " does not run: " + first(out)
		return c
	}
	return Check{Name: c.Name, OK: true, Found: first(out)}
}

var colour = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")

// first is the first line of a program's output.
func first(out string) string {
	out = colour.ReplaceAllString(out, "") // mvn paints even where nobody sees it
	line, _, _ := strings.Cut(strings.TrimSpace(out), "\n")
	if line == "" {
		return "it printed nothing"
	}
	return line
}

func gigabytes(n int64) string { return fmt.Sprintf("%.1f GB", float64(n)/1e9) }
