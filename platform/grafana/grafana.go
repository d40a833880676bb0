// Package grafana finds, configures and fills the Grafana of the mesh.
package grafana

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// HomeVariable names the environment variable that, when set, says where the
// Grafana lies that the mesh runs.
const HomeVariable = "GRAFANA_HOME"

// ErrNone tells that there is no Grafana on this machine.
var ErrNone = errors.New("no Grafana was found")

// Oldest is the oldest version that reads our files.
const Oldest = "9.3"

// An Installation is a Grafana on this machine.
type Installation struct {
	Home    string // holds public and conf
	Program string // grafana, or grafana-server before 9.4
	Version string // "12.4.11"
}

// packaged is where Debian's and Red Hat's packages put Grafana, its programs apart.
const packaged = "/usr/share/grafana"

// homes is where people and packages put Grafana.
var homes = []string{packaged, "/opt/grafana", "/usr/local/share/grafana"}

// Find looks for a Grafana in $GRAFANA_HOME, the folders given, PATH and where
// packages put it, in this order; ErrNone when there is none. One in
// $GRAFANA_HOME that does not run is an error.
func Find(ctx context.Context, installed ...string) (Installation, error) {
	if home := os.Getenv(HomeVariable); home != "" {
		found, err := look(ctx, home)
		if err != nil {
			return Installation{}, fmt.Errorf("%s=%s: %w; name the folder that holds Grafana's bin and public, or unset it", HomeVariable, home, err)
		}
		return found, nil
	}
	candidates := installed
	for _, name := range programs {
		if path, err := exec.LookPath(name); err == nil {
			if path, err = filepath.EvalSymlinks(path); err == nil {
				candidates = append(candidates, filepath.Dir(filepath.Dir(path)))
			}
		}
	}
	for _, home := range append(candidates, homes...) {
		if found, err := look(ctx, home); err == nil {
			return found, nil
		} else if ctx.Err() != nil {
			return Installation{}, ctx.Err()
		}
	}
	return Installation{}, ErrNone
}

// programs that serve, the newer first.
var programs = []string{"grafana", "grafana-server"}

var versions = regexp.MustCompile(`(?i)version:? v?(\d+\.\d+\.\d+)`)

// look asks the Grafana in the folder for its version.
func look(ctx context.Context, home string) (Installation, error) {
	home, err := filepath.Abs(home)
	if err != nil {
		return Installation{}, err
	}
	if _, err := os.Stat(filepath.Join(home, "conf", "defaults.ini")); err != nil {
		return Installation{}, fmt.Errorf("it holds no Grafana: %w", err)
	}
	folders := []string{filepath.Join(home, "bin")}
	if home == packaged {
		folders = append(folders, "/usr/sbin", "/usr/bin")
	}
	for _, folder := range folders {
		for _, name := range programs {
			program := filepath.Join(folder, name)
			if _, err := os.Stat(program); errors.Is(err, fs.ErrNotExist) {
				continue
			}
			flag := "--version"
			if name == "grafana-server" {
				flag = "-v"
			}
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			out, err := exec.CommandContext(ctx, program, flag).CombinedOutput()
			found := versions.FindSubmatch(out)
			if err != nil || found == nil {
				return Installation{}, fmt.Errorf("%s %s says %q: %w", program, flag, strings.TrimSpace(string(out)), cmp.Or(err, errors.New("no version")))
			}
			i := Installation{home, program, string(found[1])}
			if i.before(Oldest) {
				return Installation{}, fmt.Errorf("Grafana %s is older than %s", i.Version, Oldest) //nolint:staticcheck // a name
			}
			return i, nil
		}
	}
	return Installation{}, fmt.Errorf("it holds no Grafana: neither %s in its bin", strings.Join(programs, " nor "))
}

// before compares versions of the form 12.4.11, or 12.4.
func (i Installation) before(version string) bool {
	mine, other := strings.Split(i.Version, "."), strings.Split(version, ".")
	for n := range min(len(mine), len(other)) {
		a, _ := strconv.Atoi(mine[n]) // digits only
		b, _ := strconv.Atoi(other[n])
		if a != b {
			return a < b
		}
	}
	return false
}

// Ids of the PostgreSQL plugin: the generated files hold the newer one.
const (
	newSourceType = "grafana-postgresql-datasource"
	oldSourceType = "postgres"
)

// SourceType is how the server calls its PostgreSQL plugin. One before 10.2.3 takes
// the newer id at provisioning and then answers no query.
func (i Installation) SourceType() string {
	if i.before("10.2.3") {
		return oldSourceType
	}
	return newSourceType
}

//go:embed grafana.ini
var ini []byte

// A Source is a data source of the generated files: they read NAME_ADDRESS and
// NAME_PASSWORD from the environment.
type Source struct {
	Name     string // "SALES_DB"
	Address  string // host:port
	Password string // of grafana_ro
}

// A Config says how the Grafana of a mesh is run.
type Config struct {
	Installation
	Dir        string // its folder, which it writes to
	Dashboards string // what CopyDashboards made
	Address    string // host it listens on
	Port       int
	URL        string // where people reach it

	DatabaseAddress  string // host:port of its own database
	DatabasePassword string
	AdminPassword    string // of the account that makes the others
	SecretKey        string // encrypts the passwords of data sources in the database
	SMTPAddress      string // host:port
	AlertMail        []string
	Sources          []Source
}

// A Command is how the server is run.
type Command struct {
	Path  string
	Args  []string
	Env   []string
	Files []string // that it reads at its start only
}

// Command writes the server's settings below c.Dir and says how it is run.
func (c Config) Command() (Command, error) {
	settings := filepath.Join(c.Dir, "grafana.ini")
	if err := os.MkdirAll(filepath.Join(c.Dir, "data"), 0o700); err != nil {
		return Command{}, fmt.Errorf("configure Grafana: %w", err)
	}
	if err := os.WriteFile(settings, ini, 0o600); err != nil {
		return Command{}, fmt.Errorf("configure Grafana: %w", err)
	}
	provisioning := filepath.Join(c.Dashboards, "provisioning")
	// Dashboards themselves it reads again when they change.
	files, err := filepath.Glob(filepath.Join(provisioning, "*", "*"))
	if err != nil {
		return Command{}, fmt.Errorf("configure Grafana: %w", err)
	}
	args := []string{"server"}
	if filepath.Base(c.Program) == "grafana-server" {
		args = nil
	}
	command := Command{
		Path: c.Program, Args: append(args, "--homepath", c.Home, "--config", settings), Files: append(files, settings),
		Env: []string{
			"GRAFANA_DATA=" + filepath.Join(c.Dir, "data"),
			"GRAFANA_PROVISIONING=" + provisioning, "DASHBOARDS_FOLDER=" + filepath.Join(c.Dashboards, "dashboards"),
			"GRAFANA_ADDR=" + c.Address, "GRAFANA_PORT=" + strconv.Itoa(c.Port), "GRAFANA_URL=" + c.URL,
			"GRAFANA_DB_ADDRESS=" + c.DatabaseAddress, "GRAFANA_DB_PASSWORD=" + c.DatabasePassword, "DATABASE_SSLMODE=disable",
			"GRAFANA_ADMIN_PASSWORD=" + c.AdminPassword, "GRAFANA_SECRET_KEY=" + c.SecretKey,
			"SMTP_ADDRESS=" + c.SMTPAddress, "SMTP_STARTTLS_POLICY=NoStartTLS", "ALERT_MAIL=" + strings.Join(c.AlertMail, ","),
		},
	}
	for _, s := range c.Sources {
		command.Env = append(command.Env, s.Name+"_ADDRESS="+s.Address, s.Name+"_PASSWORD="+s.Password)
	}
	return command, nil
}

// CopyDashboards makes the folder to hold what `go run ./dashboards -out` wrote
// to the folder from, with the id of the PostgreSQL plugin that the server
// knows. Others may read it; files that are right already stay untouched, those
// that are not generated any more go.
func CopyDashboards(to, from, sourceType string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("copy dashboards: %w", err)
		}
	}()
	if _, err := os.Stat(filepath.Join(from, "provisioning", "dashboards")); err != nil {
		return err
	}
	kept := map[string]bool{to: true}
	err = filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		kept[target] = true
		if d.IsDir() {
			if err := os.MkdirAll(target, 0o755); err != nil {
				return err
			}
			return os.Chmod(target, 0o755) // whatever the umask
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return write(target, bytes.ReplaceAll(text, []byte(strconv.Quote(newSourceType)), []byte(strconv.Quote(sourceType))))
	})
	if err != nil {
		return err
	}
	return filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || kept[path]:
			return err
		case !d.IsDir():
			return os.Remove(path)
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		return fs.SkipDir
	})
}

// write leaves a file alone that is right already: with a new time the server
// would read it again.
func write(name string, text []byte) error {
	if have, err := os.ReadFile(name); err == nil && bytes.Equal(have, text) {
		return nil
	}
	if err := os.WriteFile(name, text, 0o644); err != nil {
		return err
	}
	return os.Chmod(name, 0o644)
}
