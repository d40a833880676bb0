package fetch

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// buildByGo has go download a module and build a program of it, and returns the
// program. The module is compared with its pinned sum before anything of it is
// built; its own go.sum, which is part of it, pins what it depends on. So the
// result does not rest on the checksum database, which a machine may not reach.
func buildByGo(ctx context.Context, work string, pkg Package, t *tracker) (string, error) {
	tool, err := exec.LookPath("go")
	if err != nil {
		return "", &Error{pkg.String(), "go, which builds it, is not in PATH", "Install Go 1.26 or newer, then run again.", err}
	}
	coordinates := strings.Fields(pkg.Coordinates)
	module, program := coordinates[0], coordinates[1]
	environment := append(os.Environ(),
		"GOWORK=off", // where the caller stands does not matter
		"GOFLAGS=-mod=readonly",
		"CGO_ENABLED=0")

	cmd := exec.CommandContext(ctx, tool, "mod", "download", "-json", module)
	cmd.Dir, cmd.Env = work, environment
	out, err := runClient(cmd, t, func() int64 { return 0 })
	if ctx.Err() != nil {
		return "", wrap(ctx, pkg, "", ctx.Err())
	}
	var m struct{ Dir, Sum, Error string }
	// Lines about the download come before the object.
	if start := strings.Index(out, "{"); start >= 0 {
		if jsonErr := json.NewDecoder(strings.NewReader(out[start:])).Decode(&m); jsonErr != nil && err == nil {
			err = fmt.Errorf("what go says: %w", jsonErr)
		}
	}
	switch {
	case m.Error != "":
		return "", goFailed(pkg, "download", m.Error, err)
	case err != nil, m.Dir == "":
		return "", goFailed(pkg, "download", lastLine(out), err)
	case m.Sum != pkg.SHA256:
		return "", &Error{pkg.String(), fmt.Sprintf("the download is another one: expected %s, found %s", pkg.SHA256, m.Sum),
			"Clear Go's module cache (go clean -modcache), then run again.", nil}
	}

	t.step(Building, 0, "")
	source := m.Dir
	if pkg.prepare != nil {
		source = filepath.Join(work, "source")
		if err := copySource(source, m.Dir); err != nil {
			return "", wrap(ctx, pkg, "cannot copy its source", err)
		}
		if err := pkg.prepare(ctx, source, pkg, t); err != nil {
			return "", err
		}
	}
	name := pkg.Name
	file := filepath.Join(work, "bin", name)
	cmd = exec.CommandContext(ctx, tool, "build", "-C", source, "-trimpath", "-buildvcs=false", "-ldflags", pkg.ldflags, "-o", file, "./"+path.Clean(program))
	cmd.Dir, cmd.Env = work, environment
	out, err = runClient(cmd, t, func() int64 { return largest(filepath.Join(work, "bin"), name) })
	switch {
	case ctx.Err() != nil:
		return "", wrap(ctx, pkg, "", ctx.Err())
	case err != nil:
		return "", goFailed(pkg, "build", lastLine(out), err)
	}
	return file, nil
}

// copySource copies a module out of Go's cache, where nothing may be written.
func copySource(to, from string) error {
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}
	return filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(path, 0o755)
		}
		return err
	})
}

// buildPages builds the pages that a module embeds, which its authors do not
// keep beside the source, by npm. package-lock.json is part of the module, so
// the module's sum pins it, and it pins the rest.
func buildPages(ctx context.Context, source string, pkg Package, t *tracker) error {
	tool, err := exec.LookPath("npm")
	if err != nil {
		return &Error{pkg.String(), "npm, which builds its pages, is not in PATH", "Install Node 20 or newer with npm (Debian 12: apt-get install nodejs npm), then run again.", err}
	}
	for _, args := range [][]string{
		// Scripts of packages have no business here: the pages are built without any.
		{"ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"},
		{"run", "package"},
	} {
		cmd := exec.CommandContext(ctx, tool, args...)
		cmd.Dir = source
		out, err := runClient(cmd, t, func() int64 { return 0 })
		switch {
		case ctx.Err() != nil:
			return wrap(ctx, pkg, "", ctx.Err())
		case err != nil:
			return &Error{pkg.String(), "npm could not build its pages: " + firstLine(out, "npm error"), "Check the network and the settings of npm (registry, proxy), then run again.", err}
		}
	}
	// Embedded would be all of it; only the pages are.
	return os.RemoveAll(filepath.Join(source, "node_modules"))
}

func goFailed(pkg Package, what, line string, err error) *Error {
	return &Error{pkg.String(), "go could not " + what + " it: " + line,
		"Check the network and the settings of go (GOPROXY, GOFLAGS), then run again.", err}
}

// lastLine is the last line of a client's output that is not empty.
func lastLine(out string) string {
	last := ""
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); line != "" {
			last = line
		}
	}
	return last
}

// unpackProgram puts a built program into bin.
func unpackProgram(u *unpacker, file string) error {
	return u.copy(file, "bin/"+filepath.Base(file), 0o755)
}
