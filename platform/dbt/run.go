package dbt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A Runner runs dbt on the mesh's project as the account that calls it.
type Runner struct {
	Program    string // of the virtual environment
	Project    Project
	Work       string // folder for all that dbt writes
	Connection Connection
	Color      bool
	Stdout     io.Writer
	Stderr     io.Writer
}

// An ExitError tells that dbt ended with a code other than 0; it has said why.
type ExitError struct{ Code int }

func (e *ExitError) Error() string {
	if e.Code == 1 {
		return "dbt: a model or a test failed"
	}
	return fmt.Sprintf("dbt: ended with exit code %d", e.Code)
}

// TargetProd is the target of staging and marts that everybody reads.
const TargetProd = "prod"

// Schemas of the marts.
const (
	Marts     = "marts"      // published
	martsNext = "marts_next" // built and tested here
	martsOld  = "marts_old"  // what was published before
)

// martsVariable tells the project where target prod has its marts.
const martsVariable = "MEESH_MARTS_SCHEMA"

// target is the folder that dbt keeps its results in. Runs that look at
// different marts have different ones: dbt would read the whole project again.
func (r Runner) target(schema string) string { return filepath.Join(r.Work, "target-"+schema) }

// Run passes a command to dbt; *ExitError when dbt does not end with 0.
func (r Runner) Run(ctx context.Context, schema string, args ...string) error {
	cmd := exec.CommandContext(ctx, r.Program, args...)
	cmd.Dir = string(r.Project)
	cmd.Env = []string{
		// Nothing of the caller's: REQUESTS_CA_BUNDLE for one would win over our authority.
		"PATH=/usr/bin:/bin", "HOME=" + r.Work, "TZ=UTC", "LANG=C.UTF-8", "TERM=" + os.Getenv("TERM"), "COLUMNS=" + os.Getenv("COLUMNS"),
		"DBT_PROJECT_DIR=" + string(r.Project), "DBT_PROFILES_DIR=" + string(r.Project),
		"DBT_TARGET_PATH=" + r.target(schema), "DBT_LOG_PATH=" + filepath.Join(r.Work, "logs"),
		"DBT_SEND_ANONYMOUS_USAGE_STATS=false", "PYTHONUNBUFFERED=1",
		fmt.Sprintf("DBT_USE_COLORS=%t", r.Color),
		targetVariable + "=" + TargetProd, martsVariable + "=" + schema,
	}
	for name, value := range r.Connection.variables() {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Stdout, cmd.Stderr = r.Stdout, r.Stderr
	// A group of its own, and one SIGINT: at that dbt cancels its queries; at a
	// second one it would not.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 30 * time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() > 0 {
		return &ExitError{exit.ExitCode()}
	}
	if err != nil {
		return fmt.Errorf("run dbt: %w", err)
	}
	return nil
}

// writing are dbt's commands that make tables.
var writing = []string{"build", "run", "seed", "snapshot", "clone", "retry", "run-operation"}

// A Command is what somebody wants of dbt.
type Command struct{ Args []string }

var commands = append([]string{"clean", "compile", "debug", "deps", "docs", "init", "list", "ls", "parse", "show", "source", "test"}, writing...)

// Name is dbt's command, the first argument that is one; "--log-level debug" is
// none.
func (c Command) Name() string {
	for i, a := range c.Args {
		if slices.Contains(commands, a) && (i == 0 || !strings.HasPrefix(c.Args[i-1], "--log-level")) {
			return a
		}
	}
	return ""
}

func (c Command) has(names ...string) bool {
	return slices.ContainsFunc(c.Args, func(a string) bool {
		name, _, _ := strings.Cut(a, "=")
		return slices.Contains(names, name)
	})
}

// Prod tells whether the command works on what everybody reads.
func (c Command) Prod() bool {
	for i, a := range c.Args {
		switch name, value, given := strings.Cut(a, "="); {
		case name != "--target" && name != "-t":
		case given:
			return value == TargetProd
		default:
			return i+1 < len(c.Args) && c.Args[i+1] == TargetProd
		}
	}
	return true
}

// Writes tells whether the command makes tables that everybody reads, or that
// are to be published.
func (c Command) Writes() bool {
	return slices.Contains(writing, c.Name()) && c.Prod() && !c.has("--help", "-h")
}

// Publishes tells whether the marts that the command builds are to be published:
// they have been tested, and hold rows.
func (c Command) Publishes() bool {
	return c.Writes() && c.Name() == "build" && !c.has("--empty", "--sample")
}

// Whole tells whether the command builds all of the project.
func (c Command) Whole() bool {
	return c.Publishes() && !c.has("--select", "-s", "--models", "-m", "--exclude", "--selector", "--resource-type", "--exclude-resource-type", "--resource-types", "--exclude-resource-types")
}
