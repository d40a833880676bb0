package fetch

import (
	"context"
	"encoding/json"
	"fmt"
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
	name := pkg.Name
	file := filepath.Join(work, "bin", name)
	cmd = exec.CommandContext(ctx, tool, "build", "-C", m.Dir, "-trimpath", "-buildvcs=false", "-o", file, "./"+path.Clean(program))
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
