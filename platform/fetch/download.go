package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// download has the package's client put the file below work and returns its
// path. The file is not verified yet.
func download(ctx context.Context, work string, pkg Package, t *tracker) (string, error) {
	t.step(Downloading, pkg.Bytes, "")
	switch {
	case pkg.set != nil:
		return downloadSet(ctx, work, pkg, t)
	case pkg.Client == "npm":
		return installByNPM(ctx, work, pkg, t)
	case pkg.lock != "":
		return downloadLocked(ctx, work, pkg, t)
	case pkg.Client == "go":
		return buildByGo(ctx, work, pkg, t)
	case pkg.Client == "mvn":
		return downloadByMaven(ctx, work, pkg, t)
	case pkg.Client == "pip":
		return downloadByPip(ctx, work, pkg, t)
	case pkg.Client == "http":
		return downloadByHTTP(ctx, work, pkg, t)
	}
	panic("fetch: no client " + pkg.Client)
}

// downloadByMaven has mvn put the file into a repository of its own below
// work: Maven's repository in the home folder would keep a second copy, and two
// mvn processes cannot share one.
func downloadByMaven(ctx context.Context, work string, pkg Package, t *tracker) (string, error) {
	c := strings.Split(pkg.Coordinates, ":")
	group, artifact, version, kind := c[0], c[1], c[2], c[3]
	repo := filepath.Join(work, "repository")
	folder := filepath.Join(repo, strings.ReplaceAll(group, ".", "/"), artifact, version)
	name := artifact + "-" + version
	if len(c) > 4 { // a classifier
		name += "-" + c[4]
	}
	file := filepath.Join(folder, name+"."+kind)
	err := runMaven(ctx, work, repo, pkg, t,
		// While it arrives the file has another ending (.part or .tmp).
		func() int64 { return largest(folder, filepath.Base(file)) },
		mavenDependencyPlugin+":get", "-Dartifact="+pkg.Coordinates, "-Dtransitive=false")
	return file, err
}

// runMaven runs one goal of Maven's in the folder work.
func runMaven(ctx context.Context, work, repo string, pkg Package, t *tracker, size func() int64, goal ...string) error {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return &Error{pkg.String(), "mvn (Maven), which downloads it, is not in PATH",
			"Install Maven (Debian: apt-get install maven), then run again.", err}
	}
	// A mirror may first fetch the whole file itself and be silent meanwhile.
	const patience = "600000" // milliseconds
	cmd := exec.CommandContext(ctx, mvn, append([]string{"-B", "-q", "-U",
		"-Dmaven.repo.local=" + repo,
		"-Dmaven.wagon.rto=" + patience,
		"-Daether.connector.requestTimeout=" + patience}, goal...)...)
	cmd.Dir = work // not where the user stands: mvn would read a pom.xml there

	out, err := runClient(cmd, t, size)
	switch {
	case ctx.Err() != nil:
		return wrap(ctx, pkg, "", ctx.Err())
	case err == nil:
		return nil
	case strings.Contains(out, "JAVA_HOME") || strings.Contains(out, "java: not found") ||
		strings.Contains(out, "java: No such file"):
		return &Error{pkg.String(), "mvn, which downloads it, finds no Java: " + firstLine(out, ""),
			"Install one (Debian: apt-get install default-jre-headless) or set JAVA_HOME, then run again.", err}
	}
	return clientFailed(pkg, out, firstLine(out, "[ERROR]"), t, err)
}

// downloadByPip has pip put the wheel below work. pip's own hash check is on as
// well, so that nothing is ever taken for the package that is not.
func downloadByPip(ctx context.Context, work string, pkg Package, t *tracker) (string, error) {
	const fix = "Install both (Debian: apt-get install python3 python3-pip), then run again."
	python, err := exec.LookPath("python3")
	if err != nil {
		return "", &Error{pkg.String(), "python3, whose pip downloads it, is not in PATH", fix, err}
	}
	var (
		requirements = filepath.Join(work, "requirements.txt")
		dest         = filepath.Join(work, "wheel")
		temp         = filepath.Join(work, "temp")
	)
	if err := errors.Join(
		os.Mkdir(dest, 0o755), os.Mkdir(temp, 0o755),
		os.WriteFile(requirements, []byte(pkg.Coordinates+" --hash=sha256:"+pkg.SHA256+"\n"), 0o644),
	); err != nil {
		return "", wrap(ctx, pkg, "cannot prepare the download", err)
	}
	cmd := exec.CommandContext(ctx, python, "-m", "pip", "download",
		"--no-input", "--disable-pip-version-check", "--no-cache-dir",
		"--no-deps", "--only-binary", ":all:", "--platform", "manylinux_2_17_x86_64",
		"--require-hashes", "--requirement", requirements, "--dest", dest)
	cmd.Dir = work
	// pip downloads into TMPDIR first; below work the file can be watched, and
	// a small /tmp does no harm.
	cmd.Env = append(os.Environ(), "TMPDIR="+temp, "PIP_REQUIRE_VIRTUALENV=0")

	out, err := runClient(cmd, t, func() int64 { return max(largest(temp, ""), largest(dest, "")) })
	switch {
	case ctx.Err() != nil:
		return "", wrap(ctx, pkg, "", ctx.Err())
	case err != nil && strings.Contains(out, "No module named pip"):
		return "", &Error{pkg.String(), "this python3 (" + python + ") has no pip, which downloads it", fix, err}
	case err != nil:
		if got := regexp.MustCompile(`(?m)Got\s+([0-9a-f]{64})`).FindStringSubmatch(out); got != nil {
			return "", corrupted(pkg, got[1])
		}
		return "", clientFailed(pkg, out, firstLine(out, "ERROR:"), t, err)
	}
	wheels, err := filepath.Glob(filepath.Join(dest, "*.whl"))
	if err != nil || len(wheels) != 1 {
		return "", &Error{pkg.String(), fmt.Sprintf("pip says it is done: expected one wheel, found %d", len(wheels)), runAgain, err}
	}
	return wheels[0], nil
}

// runClient runs a client in a process group of its own and reports how the
// file grows. It returns the end of what the client printed.
func runClient(cmd *exec.Cmd, t *tracker, size func() int64) (string, error) {
	var out tail
	cmd.Stdout, cmd.Stderr = &out, &out
	// mvn and pip start others; the group gets the signal as a whole, and the
	// kernel ends the client when this process is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 3 * time.Second

	done := make(chan error, 1)
	go func() {
		// Pdeathsig is sent when the thread that started the child ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Run()
		if cmd.Process != nil && err != nil {
			// Whoever of the group ignored SIGTERM; usually nobody is left.
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
		done <- err
	}()
	ticker := time.NewTicker(250 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case err := <-done:
			t.set(size())
			return out.String(), err
		case <-ticker.C:
			t.set(size())
		}
	}
}

// clientFailed makes an error of a client's failure; how much had arrived tells
// a cut-off download from a registry that was never reached.
func clientFailed(pkg Package, out, line string, t *tracker, err error) error {
	if strings.Contains(out, "No space left on device") || strings.Contains(out, "Disk quota exceeded") {
		return wrap(context.Background(), pkg, "the download stopped", fmt.Errorf("%s: %w", line, syscall.ENOSPC))
	}
	return &Error{pkg.String(),
		fmt.Sprintf("%s could not download it (expected %d bytes, found %d): %s", pkg.Client, pkg.Bytes, t.bytes(), line),
		"Check the network and the settings of " + pkg.Client + " (mirror, proxy), then run again.", err}
}

// verify compares the file's size and checksum with the pinned ones and deletes
// a file that differs.
func verify(ctx context.Context, file string, pkg Package, t *tracker) error {
	switch {
	case pkg.set != nil:
		return verifySet(ctx, file, pkg, t)
	case pkg.Client == "go", pkg.lock != "":
		return nil // what it is made of was verified by the client
	}
	info, err := os.Stat(file)
	if err != nil {
		return wrap(ctx, pkg, pkg.Client+" says it is done, but the file is not there", err)
	}
	if info.Size() != pkg.Bytes && pkg.Client != "http" { // its size is not pinned
		what := "the download was cut off"
		if info.Size() > pkg.Bytes {
			what = "the download is another file"
		}
		return discard(file, &Error{pkg.String(),
			fmt.Sprintf("%s: expected %d bytes, found %d; the file was deleted", what, pkg.Bytes, info.Size()), runAgain, nil})
	}
	sum, err := checksum(ctx, file, t)
	if err != nil {
		return wrap(ctx, pkg, "cannot read the download", err)
	}
	if sum != pkg.SHA256 {
		return discard(file, corrupted(pkg, sum))
	}
	return nil
}

func corrupted(pkg Package, sum string) *Error {
	return &Error{pkg.String(),
		fmt.Sprintf("the download is corrupted: expected sha256 %s, found %s; the file was deleted", pkg.SHA256, sum), runAgain, nil}
}

func discard(file string, reason *Error) error {
	if err := os.Remove(file); err != nil {
		reason.Err = err
	}
	return reason
}

func checksum(ctx context.Context, file string, t *tracker) (sum string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := sha256.New()
	if _, err := io.CopyBuffer(h, watched{ctx, f, t}, make([]byte, 1<<20)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// watched is a reader that ends with the context and reports what it reads.
type watched struct {
	ctx context.Context
	r   io.Reader
	t   *tracker
}

func (w watched) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.r.Read(p)
	w.t.add(int64(n))
	return n, err
}

// largest is the size of the largest file below dir whose name starts with
// prefix; files may come and go while it looks.
func largest(dir, prefix string) int64 {
	var size int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // gone meanwhile
		}
		if !d.Type().IsRegular() || !strings.HasPrefix(d.Name(), prefix) {
			return nil
		}
		if info, err := d.Info(); err == nil {
			size = max(size, info.Size())
		}
		return nil
	})
	return size
}

// tail keeps the end of a client's output.
type tail struct{ bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	const limit = 64 << 10
	t.Buffer.Write(p)
	if extra := t.Len() - limit; extra > 0 {
		t.Next(extra)
	}
	return len(p), nil
}

var ansi = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")

// firstLine is the first line of a client's output that starts with prefix,
// without it, or the first line that is not empty.
func firstLine(out, prefix string) string {
	first := ""
	for line := range strings.Lines(ansi.ReplaceAllString(out, "")) {
		line = strings.TrimSpace(line)
		if first == "" {
			first = line
		}
		if rest, ok := strings.CutPrefix(line, prefix); ok && strings.TrimSpace(rest) != "" && prefix != "" {
			first = strings.TrimSpace(rest)
			break
		}
	}
	if first == "" {
		return "it printed nothing"
	}
	if r := []rune(first); len(r) > 600 {
		first = string(r[:600]) + " …"
	}
	return first
}
