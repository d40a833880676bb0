// Package jupyterhub holds the notebooks' hub: its configuration, what people's servers run on, and a client of it.
package jupyterhub

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// What the hub and the people's servers run on, with hashes.
var (
	//go:embed hub.lock
	HubLock string
	//go:embed notebook.lock
	NotebookLock string
	//go:embed proxy/package.json
	ProxyPackage string
	//go:embed proxy/package-lock.json
	ProxyLock string
)

// Versions of JupyterHub, of JupyterLab and of the proxy.
var (
	Version      = regexp.MustCompile(`(?m)^jupyterhub==(\S+)`).FindStringSubmatch(HubLock)[1]
	LabVersion   = regexp.MustCompile(`(?m)^jupyterlab==(\S+)`).FindStringSubmatch(NotebookLock)[1]
	ProxyVersion = regexp.MustCompile(`"configurable-http-proxy": "([^"]+)"`).FindStringSubmatch(ProxyPackage)[1]
)

//go:embed jupyterhub_config.py lab all:python
var files embed.FS

// ConfigFile is the name of the hub's configuration.
const ConfigFile = "jupyterhub_config.py"

// notebooksFolder is where Install puts what everybody is shown.
const notebooksFolder = "notebooks"

// Notebooks is the folder of the notebooks in an installation.
func Notebooks(dir string) string { return filepath.Join(dir, notebooksFolder) }

// Install makes dir hold the hub's configuration, the Python package of notebooks
// and the notebooks of the domains, by domain, from the clone's folder domains.
// Everybody may read them and nobody may write the notebooks, so that JupyterLab shows them as
// read-only. Files that are right stay untouched, and others go.
func Install(dir, domains string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("install JupyterHub's files: %w", err)
		}
	}()
	want := map[string]fs.FileMode{}
	err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if strings.HasSuffix(name, ".pyc") {
			return nil
		}
		content, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		want[name] = 0o644
		return put(dir, name, content, 0o644)
	})
	if err != nil {
		return err
	}
	found, err := filepath.Glob(filepath.Join(domains, "*", "notebooks", "*.ipynb"))
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("%s: %w", filepath.Join(domains, "*", "notebooks", "*.ipynb"), fs.ErrNotExist)
	}
	for _, file := range found {
		domain := filepath.Base(filepath.Dir(filepath.Dir(file)))
		name := path.Join(notebooksFolder, domain, filepath.Base(file))
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		want[name] = 0o444
		if err := put(dir, name, content, 0o444); err != nil {
			return err
		}
	}
	return filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, at)
		if err != nil {
			return err
		}
		if _, ok := want[filepath.ToSlash(name)]; ok {
			return nil
		}
		return os.Remove(at)
	})
}

// put makes a file and its folders, whatever the umask, unless it is so already.
func put(dir, name string, content []byte, mode fs.FileMode) error {
	at := filepath.Join(dir, filepath.FromSlash(name))
	if have, err := os.ReadFile(at); err == nil && bytes.Equal(have, content) {
		return os.Chmod(at, mode)
	}
	var made []string
	for folder := filepath.Dir(at); len(folder) >= len(dir); folder = filepath.Dir(folder) {
		made = append(made, folder)
	}
	for _, folder := range slices.Backward(made) {
		if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := os.Chmod(folder, 0o755); err != nil {
			return err
		}
	}
	temp := at + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(temp, content, 0o644); err != nil {
		return err
	}
	if err := os.Chmod(temp, mode); err != nil {
		return err
	}
	return os.Rename(temp, at)
}
