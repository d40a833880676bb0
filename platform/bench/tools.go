package main

import (
	"context"
	_ "embed" // the Flask service
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// tools are the programs that the services are compared with. No user needs
// them: they lie in the cache, fetched by apt and unpacked without installing.
type tools struct {
	pgbench, psql string
	libraries     string // folder of libpq
}

// env is the environment of a tool.
func (t tools) env(more ...string) []string {
	return append([]string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC", "LD_LIBRARY_PATH=" + t.libraries}, more...)
}

func findTools(ctx context.Context, cache string) (tools, error) {
	folder := filepath.Join(cache, "bench-postgresql-15")
	if _, err := os.Stat(folder); errors.Is(err, os.ErrNotExist) {
		if err := fetchTools(ctx, folder); err != nil {
			return tools{}, fmt.Errorf("pgbench and psql: %w", err)
		}
	}
	libraries, err := filepath.Glob(filepath.Join(folder, "usr/lib/*/libpq.so.5"))
	if err != nil || len(libraries) != 1 {
		return tools{}, fmt.Errorf("%s holds %d libpq; remove the folder and run again: %w", folder, len(libraries), err)
	}
	bin := filepath.Join(folder, "usr/lib/postgresql/15/bin")
	return tools{filepath.Join(bin, "pgbench"), filepath.Join(bin, "psql"), filepath.Dir(libraries[0])}, nil
}

func fetchTools(ctx context.Context, folder string) (err error) {
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(folder), ".bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	say("fetching pgbench and psql with apt-get download")
	if err := command(ctx, work, "apt-get", "download", "postgresql-15", "postgresql-client-15", "libpq5"); err != nil {
		return fmt.Errorf("%w (this needs a Debian whose package lists are there: apt-get update)", err)
	}
	packages, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil {
		return err
	}
	for _, p := range packages {
		if err := command(ctx, work, "dpkg", "-x", p, "tree"); err != nil {
			return err
		}
	}
	return os.Rename(filepath.Join(work, "tree"), folder)
}

var (
	//go:embed flask/requirements.txt
	flaskRequirements []byte
	//go:embed flask/service.py
	flaskService []byte
)

// flask gives gunicorn in a virtual environment of its own with exactly the
// packages of requirements.txt.
func (r *rig) flask(ctx context.Context) (gunicorn string, err error) {
	folder := filepath.Join(r.cache, "bench-flask")
	done := filepath.Join(folder, "requirements.txt")
	gunicorn = filepath.Join(folder, "bin", "gunicorn")
	if text, err := os.ReadFile(done); err == nil && string(text) == string(flaskRequirements) {
		return gunicorn, nil
	}
	say("installing Flask, psycopg2 and gunicorn with pip")
	if err := os.RemoveAll(folder); err != nil {
		return "", err
	}
	if err := command(ctx, r.folder, "python3", "-m", "venv", folder); err != nil {
		return "", fmt.Errorf("%w: %w", errUnreached, err)
	}
	wanted := filepath.Join(r.folder, "requirements.txt")
	if err := os.WriteFile(wanted, flaskRequirements, 0o600); err != nil {
		return "", err
	}
	if err := command(ctx, r.folder, filepath.Join(folder, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--only-binary=:all:", "-r", wanted); err != nil {
		return "", fmt.Errorf("%w: %w", errUnreached, err)
	}
	return gunicorn, os.WriteFile(done, flaskRequirements, 0o600)
}

func command(ctx context.Context, folder, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = folder
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// versions says what was compared.
func (r *rig) versions(ctx context.Context) map[string]string {
	versions := map[string]string{}
	for name, args := range map[string][]string{
		"pgbench": {r.tools.pgbench, "--version"},
		"psql":    {r.tools.psql, "--version"},
		"go":      {"go", "version"},
		"commit":  {"git", "describe", "--always", "--dirty", "--abbrev=12", "--match="},
		"python":  {filepath.Join(r.cache, "bench-flask", "bin", "python"), "--version"},
	} {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		if name != "go" && name != "commit" {
			cmd.Env = r.tools.env()
		}
		if out, err := cmd.Output(); err == nil { // what is not there was not compared
			versions[name] = strings.TrimSpace(string(out))
		}
	}
	if text, err := os.ReadFile(filepath.Join(r.folder, "postgres", "data", "PG_VERSION")); err == nil {
		versions["postgresql"] = strings.TrimSpace(string(text))
	}
	for line := range strings.Lines(string(flaskRequirements)) {
		if name, version, ok := strings.Cut(strings.TrimSuffix(strings.TrimSpace(line), ` \`), "=="); ok && (name == "flask" || name == "gunicorn" || strings.HasPrefix(name, "psycopg2")) {
			versions[name] = version
		}
	}
	return versions
}
