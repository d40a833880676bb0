package secrets

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/datameesh/datameesh/platform/topology"
)

// WriteAPIKeys writes the file that API_KEYS_FILE of a service points to:
// names, SHA-256 and scopes of the keys that the service accepts, no key. The
// service is a component name of the topology, e.g. "sales-api".
func (s *Store) WriteAPIKeys(path, service string) (changed bool, err error) {
	content, err := s.AcceptedKeys(service)
	if err != nil {
		return false, fmt.Errorf("write API keys: %w", err)
	}
	changed, err = replaceFile(path, content)
	if err != nil {
		return false, fmt.Errorf("write API keys of %s: %w", service, err)
	}
	return changed, nil
}

// AcceptedKeys is the text of that file.
func (s *Store) AcceptedKeys(service string) ([]byte, error) {
	type key struct {
		Name   string   `json:"name"`
		SHA256 string   `json:"sha256"`
		Scopes []string `json:"scopes"`
		// NotAfter ends a key that was rotated.
		NotAfter time.Time `json:"not_after,omitzero"`
	}
	var file struct {
		Keys []key `json:"keys"`
	}
	for _, k := range topology.APIKeys {
		if !slices.Contains(k.Services, service) {
			continue
		}
		value, err := s.APIKey(k.Name)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256([]byte(value))
		file.Keys = append(file.Keys, key{Name: k.Name, SHA256: hex.EncodeToString(sum[:]), Scopes: k.Scopes})
		old, found, err := s.previousKey(k.Name)
		if err != nil {
			return nil, err
		}
		if found {
			sum := sha256.Sum256([]byte(old.Key))
			file.Keys = append(file.Keys, key{k.Name, hex.EncodeToString(sum[:]), k.Scopes, old.NotAfter})
		}
	}
	if len(file.Keys) == 0 {
		return nil, fmt.Errorf("no key of the topology is for service %q", service)
	}
	b, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// bcryptCost of the hashes; Trino refuses a password file below 8.
const bcryptCost = 10

// WriteTrinoPasswords writes Trino's password file: a bcrypt hash per person.
// Hashes that still fit their password stay, so the file changes only when a
// person or a password did.
func (s *Store) WriteTrinoPasswords(path string) (changed bool, err error) {
	return s.writeTrinoPasswords(path, bcryptCost)
}

func (s *Store) writeTrinoPasswords(path string, cost int) (changed bool, err error) {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("write Trino's passwords: %w", err)
	}
	content, err := s.trinoPasswords(old, cost)
	if err != nil {
		return false, err
	}
	changed, err = replaceFile(path, content)
	if err != nil {
		return false, fmt.Errorf("write Trino's passwords: %w", err)
	}
	return changed, nil
}

// TrinoPasswords is the text of that file; old is what it was before.
func (s *Store) TrinoPasswords(old []byte) ([]byte, error) { return s.trinoPasswords(old, bcryptCost) }

func (s *Store) trinoPasswords(before []byte, cost int) ([]byte, error) {
	people, err := s.People()
	if err != nil {
		return nil, err
	}
	return s.passwords(before, cost, people)
}

// passwords are name:bcrypt lines; hashes of before that still fit stay.
func (s *Store) passwords(before []byte, cost int, people []topology.Person) ([]byte, error) {
	fitting, err := s.fitting(before, cost, people)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	for i, p := range people {
		fmt.Fprintf(&b, "%s:%s\n", p.Name, fitting[i])
	}
	return b.Bytes(), nil
}

// fitting are hashes of the people's passwords: those of before, or new ones where
// these do not fit any more.
func (s *Store) fitting(before []byte, cost int, people []topology.Person) ([]string, error) {
	old := hashes(before)
	var fitting []string
	for _, p := range people {
		password, err := s.Person(p.Name)
		if err != nil {
			return nil, err
		}
		hash := old[p.Name]
		// A longer one is compared by its first bytes alone; to hash it is refused.
		if len(password) > longestPassword || bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) != nil {
			h, err := bcrypt.GenerateFromPassword([]byte(password), cost)
			if err != nil {
				return nil, fmt.Errorf("hash the password of %s: %w", p.Name, err)
			}
			hash = string(h)
		}
		fitting = append(fitting, hash)
	}
	return fitting, nil
}

// hashes reads name:hash lines, with or without more behind.
func hashes(text []byte) map[string]string {
	hashes := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if name, rest, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			hashes[name], _, _ = strings.Cut(rest, ":")
		}
	}
	return hashes
}

// WriteTrinoGroups writes Trino's group file, a line per group in the order of
// the topology: "engineers:mike,admin".
func (s *Store) WriteTrinoGroups(path string) (changed bool, err error) {
	content, err := s.TrinoGroups()
	if err != nil {
		return false, err
	}
	changed, err = replaceFile(path, content)
	if err != nil {
		return false, fmt.Errorf("write Trino's groups: %w", err)
	}
	return changed, nil
}

// TrinoGroups is the text of that file.
func (s *Store) TrinoGroups() ([]byte, error) {
	people, err := s.People()
	if err != nil {
		return nil, err
	}
	var groups []string
	members := map[string][]string{}
	for _, p := range people {
		if members[p.Group] == nil {
			groups = append(groups, p.Group)
		}
		members[p.Group] = append(members[p.Group], p.Name)
	}
	var b bytes.Buffer
	for _, g := range groups {
		fmt.Fprintf(&b, "%s:%s\n", g, strings.Join(members[g], ","))
	}
	return b.Bytes(), nil
}

// WriteViewerPeople writes who may log in to the viewer, which reads it at each log-in:
// a line of name:bcrypt:group:does for each person. Programs have no use for pages.
func (s *Store) WriteViewerPeople(path string) (changed bool, err error) {
	return s.writeViewerPeople(path, bcryptCost)
}

func (s *Store) writeViewerPeople(path string, cost int) (changed bool, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write the viewer's people: %w", err)
		}
	}()
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	people, err := s.People()
	if err != nil {
		return false, err
	}
	people = slices.DeleteFunc(people, func(p topology.Person) bool { return slices.Contains(topology.ServiceUsers, p) })
	fitting, err := s.fitting(old, cost, people)
	if err != nil {
		return false, err
	}
	var b bytes.Buffer
	for i, p := range people {
		fmt.Fprintf(&b, "%s:%s:%s:%s\n", p.Name, fitting[i], p.Group, p.Does)
	}
	return replaceFile(path, b.Bytes())
}
