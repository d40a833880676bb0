package secrets

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"strings"
)

// EnsureIn is Ensure for secrets that lie in no folder: have is what there is
// already, by name; the caller keeps what Content gives then. Names are those
// of a Secret's keys in Kubernetes, which have no slash.
func EnsureIn(have map[string][]byte, adminPassword string) (s *Store, changed []string, err error) {
	kept := memory{}
	for name, value := range have {
		kept[strings.ReplaceAll(name, separator, "/")] = value
	}
	s = &Store{kept: kept}
	if changed, err = s.ensure(adminPassword); err != nil {
		return nil, nil, fmt.Errorf("make secrets: %w", err)
	}
	return s, changed, nil
}

// Content is what a store of EnsureIn holds now; nil for a folder.
func (s *Store) Content() map[string][]byte {
	if m, ok := s.kept.(memory); ok {
		return m.content()
	}
	return nil
}

// separator stands for the slash in a Secret's key; no name has two dots.
const separator = ".."

type memory map[string][]byte

func (m memory) content() map[string][]byte {
	content := map[string][]byte{}
	for name, value := range maps.All(m) {
		content[strings.ReplaceAll(name, "/", separator)] = value
	}
	return content
}

func (m memory) read(name string) ([]byte, error) {
	if value, ok := m[name]; ok {
		return value, nil
	}
	return nil, fs.ErrNotExist
}

func (m memory) ensure(name string, content func() ([]byte, error)) (made bool, err error) {
	if _, ok := m[name]; ok {
		return false, nil
	}
	m[name], err = content()
	return err == nil, err
}

func (m memory) replace(name string, content []byte) (changed bool, err error) {
	changed = !bytes.Equal(m[name], content)
	m[name] = content
	return changed, nil
}

func (m memory) remove(name string) error {
	if _, ok := m[name]; !ok {
		return fs.ErrNotExist
	}
	delete(m, name)
	return nil
}
