package secrets

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// keeper keeps what a store holds, by slash-separated names: in files, or in a
// cluster's Secret. Without such a name read gives fs.ErrNotExist.
type keeper interface {
	read(name string) ([]byte, error)
	// ensure makes it with what content returns unless it is there.
	ensure(name string, content func() ([]byte, error)) (made bool, err error)
	replace(name string, content []byte) (changed bool, err error)
	remove(name string) error
}

// folder keeps a file per name, mode 0600.
type folder string

func (f folder) path(name string) string { return filepath.Join(string(f), filepath.FromSlash(name)) }

func (f folder) read(name string) ([]byte, error) { return os.ReadFile(f.path(name)) }

func (f folder) replace(name string, content []byte) (changed bool, err error) {
	return replaceFile(f.path(name), content)
}

func (f folder) remove(name string) error { return os.Remove(f.path(name)) }

// ensure makes the file with what content returns unless it exists. It is
// complete or absent at any moment, and never overwritten.
func (f folder) ensure(name string, content func() ([]byte, error)) (made bool, err error) {
	path := f.path(name)
	switch info, err := os.Stat(path); {
	case err == nil:
		if info.Mode().Perm() != 0o600 {
			return false, os.Chmod(path, 0o600)
		}
		return false, nil
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	}
	b, err := content()
	if err != nil {
		return false, err
	}
	temp, err := writeTemp(path, b)
	if err != nil {
		return false, err
	}
	defer func() { _ = os.Remove(temp) }()
	// Link refuses to replace: of two that make the same secret, one wins.
	if err := os.Link(temp, path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return false, nil
		}
		return false, err
	}
	return true, nil
}

// replaceFile makes path hold exactly content, mode 0600, by a rename. It
// leaves a file that does already alone.
func replaceFile(path string, content []byte) (changed bool, err error) {
	old, err := os.ReadFile(path)
	if err == nil && bytes.Equal(old, content) {
		return false, secure(path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	temp, err := writeTemp(path, content)
	if err != nil {
		return false, err
	}
	if err := os.Rename(temp, path); err != nil {
		_ = os.Remove(temp)
		return false, err
	}
	return true, nil
}

// writeTemp writes content into a new file beside path and returns its name.
func writeTemp(path string, content []byte) (name string, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return "", err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(content); err != nil {
		return "", err
	}
	return f.Name(), f.Sync()
}

// secure gives an existing file the mode that a new one gets.
func secure(path string) error {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() == 0o600 {
		return err
	}
	return os.Chmod(path, 0o600)
}
