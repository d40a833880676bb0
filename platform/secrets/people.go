package secrets

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/datameesh/datameesh/platform/topology"
)

// WritePeoplePasswords writes a file like Trino's, of people alone: programs have no
// use for pages.
func (s *Store) WritePeoplePasswords(path string) (changed bool, err error) {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("write people's passwords: %w", err)
	}
	people, err := s.People()
	if err != nil {
		return false, err
	}
	people = slices.DeleteFunc(people, func(p topology.Person) bool { return slices.Contains(topology.ServiceUsers, p) })
	content, err := s.passwords(old, bcryptCost, people)
	if err != nil {
		return false, err
	}
	changed, err = replaceFile(path, content)
	if err != nil {
		return false, fmt.Errorf("write people's passwords: %w", err)
	}
	return changed, nil
}
