package trino

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// authenticators is the plugin of Trino's password file. Each plugin is a class
// path of its own, and ours calls Trino's: it lies in the same folder, as a
// folder of classes.
const (
	authenticators = "password-authenticators"
	throttle       = "throttle"
)

// writePlugins makes dir hold the plugins of the folder from, which is shared and
// stays as it is, by links, and ours. It returns a text that changes when ours does.
func writePlugins(dir, from string) (version string, err error) {
	if err := link(dir, from, authenticators); err != nil {
		return "", err
	}
	if err := link(filepath.Join(dir, authenticators), filepath.Join(from, authenticators), throttle); err != nil {
		return "", err
	}
	own := filepath.Join(dir, authenticators, throttle)
	// Not cleared first: a Trino that runs may still read a class of it.
	hash := sha256.New()
	err = fs.WalkDir(files, "java", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(own, filepath.FromSlash(strings.TrimPrefix(name, "java")))
		if e.IsDir() {
			return os.MkdirAll(to, 0o700)
		}
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(hash, "%s %d\n%s", name, len(content), content)
		return writeFile(to, content)
	})
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)[:8]), nil
}

// link makes dir hold a link to each entry of the folder from, but for own, a
// folder of its own, and nothing else.
func link(dir, from, own string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	want := map[string]string{}
	for _, e := range entries {
		if e.Name() != own {
			want[e.Name()] = filepath.Join(from, e.Name())
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	present, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range present {
		path := filepath.Join(dir, e.Name())
		if e.Name() == own && e.IsDir() {
			continue
		}
		if target, err := os.Readlink(path); err == nil && target == want[e.Name()] {
			delete(want, e.Name())
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	for name, target := range want {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}
