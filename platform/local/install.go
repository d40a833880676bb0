package local

import (
	"bytes"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
)

// install makes to a copy of the program from, unless it is one already.
func install(from, to string) (changed bool, err error) {
	want, err := Sum(from)
	if err != nil {
		return false, err
	}
	if have, err := Sum(to); err == nil && bytes.Equal(have, want) {
		return false, nil
	}
	src, err := os.Open(from)
	if err != nil {
		return false, err
	}
	defer func() { _ = src.Close() }()
	temp, err := os.CreateTemp(filepath.Dir(to), "."+filepath.Base(to)+"-*")
	if err != nil {
		return false, err
	}
	defer func() { _ = os.Remove(temp.Name()) }() // gone after the rename
	if _, err := io.Copy(temp, src); err != nil {
		_ = temp.Close()
		return false, err
	}
	// Others may execute it: the servers' account is one of them.
	if err := temp.Chmod(0o755); err != nil {
		_ = temp.Close()
		return false, err
	}
	if err := temp.Close(); err != nil {
		return false, err
	}
	return true, os.Rename(temp.Name(), to)
}

// Sum is the SHA-256 of a file.
func Sum(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}
