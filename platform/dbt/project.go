package dbt

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const (
	projectFile  = "dbt_project.yml"
	profilesFile = "profiles.yml"
)

// A Project is the folder of the dbt project, as dbt sees it.
type Project string

// files lists what dbt reads of the project, and the documents beside it, by
// path from its root. What tools leave there is no part of it.
func (p Project) files() ([]string, error) {
	var files []string
	root, err := filepath.EvalSymlinks(string(p))
	if err != nil {
		return nil, err
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if path != root && (strings.HasPrefix(name, ".") || d.IsDir() && slices.Contains([]string{"target", "logs", "dbt_packages"}, name)) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.Type().IsRegular() && slices.Contains([]string{".sql", ".yml", ".md", ".csv"}, filepath.Ext(name)) && name != profilesFile {
			rel, err := filepath.Rel(root, path)
			files = append(files, rel)
			return err
		}
		return nil
	})
	if err == nil && !slices.Contains(files, projectFile) {
		err = fmt.Errorf("%s: %w", filepath.Join(string(p), projectFile), fs.ErrNotExist)
	}
	return files, err
}

// Sum changes when a file of the project, its profiles or what dbt runs on does.
func (p Project) Sum() (string, error) {
	files, err := p.files()
	if err != nil {
		return "", fmt.Errorf("dbt project: %w", err)
	}
	h := sha256.New()
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join(string(p), name))
		if err != nil {
			return "", fmt.Errorf("dbt project: %w", err)
		}
		fmt.Fprintf(h, "%s %d\n%s", name, len(text), text)
	}
	fmt.Fprintf(h, "%s%s", profiles, Lock)
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Install makes to the same project as p, with its profiles; files that are
// right already stay untouched. Others may read it.
func (p Project) Install(to Project) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("install dbt project: %w", err)
		}
	}()
	if err := p.copyTo(to); err != nil {
		return err
	}
	have, err := to.files()
	if err != nil {
		return err
	}
	want, err := p.files()
	if err != nil {
		return err
	}
	for _, name := range have {
		if !slices.Contains(want, name) {
			if err := os.Remove(filepath.Join(string(to), name)); err != nil {
				return err
			}
		}
	}
	return write(filepath.Join(string(to), profilesFile), profiles, 0o644)
}

func (p Project) copyTo(to Project) error {
	files, err := p.files()
	if err != nil {
		return err
	}
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join(string(p), name))
		if err != nil {
			return err
		}
		if err := write(filepath.Join(string(to), name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// write makes a file and its folders, whatever the umask, unless it holds that already.
func write(path string, content []byte, mode fs.FileMode) error {
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, content) {
		return nil
	}
	var made []string
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil {
			break
		}
		made = append(made, dir)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	for _, dir := range made {
		if err := os.Chmod(dir, 0o755); err != nil {
			return err
		}
	}
	temp := path + ".new"
	if err := os.WriteFile(temp, content, mode); err != nil {
		return err
	}
	if err := os.Chmod(temp, mode); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

// A Connection is how somebody reaches Trino from dbt.
type Connection struct {
	Host     string
	Port     string
	User     string
	Password string
	CAFile   string // PEM
}

// Names of the variables in profiles.yml.
const (
	targetVariable   = "DBT_TARGET"
	hostVariable     = "TRINO_HOST"
	portVariable     = "TRINO_PORT"
	userVariable     = "TRINO_USER"
	caVariable       = "TRINO_CA"
	authVariable     = "TRINO_AUTH"
	passwordVariable = "DBT_ENV_SECRET_TRINO_PASSWORD" // dbt keeps what begins like this out of its logs
	tokenVariable    = "DBT_ENV_SECRET_TRINO_TOKEN"    // in notebooks, in place of a password
)

func (c Connection) variables() map[string]string {
	return map[string]string{
		hostVariable: c.Host, portVariable: c.Port, userVariable: c.User, passwordVariable: c.Password, caVariable: c.CAFile,
		authVariable: "ldap", tokenVariable: "",
	}
}

// caFile is what a copy of the project calls its certificate authority.
const caFile = "ca.pem"

// CopyFor makes a writable copy of the project for a person, in which dbt works
// without any variable: the profiles say who they are, and nobody else may read
// them. Files of a copy that exists are refused.
func (p Project) CopyFor(to string, c Connection) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("copy dbt project: %w", err)
		}
	}()
	if entries, err := os.ReadDir(to); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty; name another folder", to)
	}
	ca, err := os.ReadFile(c.CAFile)
	if err != nil {
		return err
	}
	c.CAFile = filepath.Join(to, caFile)
	return errors.Join(
		p.copyTo(Project(to)),
		write(filepath.Join(to, caFile), ca, 0o644),
		write(filepath.Join(to, profilesFile), filled(c), 0o600))
}

// What stands in profiles.yml for a variable; a number is without quotes then.
var (
	numberVariable = regexp.MustCompile(`"\{\{ env_var\('(\w+)', '[^']*'\) \| int \}\}"`)
	textVariable   = regexp.MustCompile(`\{\{ env_var\('(\w+)', '[^']*'\) \}\}`)
)

// filled are the profiles with the variables written out.
func filled(c Connection) []byte {
	values := c.variables()
	values[targetVariable] = "dev"
	text := regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(string(profiles), "")
	for _, variable := range []*regexp.Regexp{numberVariable, textVariable} {
		text = variable.ReplaceAllStringFunc(text, func(s string) string {
			return values[variable.FindStringSubmatch(s)[1]]
		})
	}
	return []byte(text)
}
