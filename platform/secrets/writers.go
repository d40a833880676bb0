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
			return false, err
		}
		sum := sha256.Sum256([]byte(value))
		file.Keys = append(file.Keys, key{Name: k.Name, SHA256: hex.EncodeToString(sum[:]), Scopes: k.Scopes})
		old, found, err := s.previousKey(k.Name)
		if err != nil {
			return false, fmt.Errorf("write API keys: %w", err)
		}
		if found {
			sum := sha256.Sum256([]byte(old.Key))
			file.Keys = append(file.Keys, key{k.Name, hex.EncodeToString(sum[:]), k.Scopes, old.NotAfter})
		}
	}
	if len(file.Keys) == 0 {
		return false, fmt.Errorf("write API keys: no key of the topology is for service %q", service)
	}
	b, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return false, err
	}
	changed, err = replaceFile(path, append(b, '\n'))
	if err != nil {
		return false, fmt.Errorf("write API keys of %s: %w", service, err)
	}
	return changed, nil
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
	old, err := readPasswordFile(path)
	if err != nil {
		return false, fmt.Errorf("write Trino's passwords: %w", err)
	}
	people, err := s.People()
	if err != nil {
		return false, err
	}
	var b bytes.Buffer
	for _, p := range people {
		password, err := s.Person(p.Name)
		if err != nil {
			return false, err
		}
		hash := old[p.Name]
		if bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) != nil {
			h, err := bcrypt.GenerateFromPassword([]byte(password), cost)
			if err != nil {
				return false, fmt.Errorf("hash the password of %s: %w", p.Name, err)
			}
			hash = string(h)
		}
		fmt.Fprintf(&b, "%s:%s\n", p.Name, hash)
	}
	changed, err = replaceFile(path, b.Bytes())
	if err != nil {
		return false, fmt.Errorf("write Trino's passwords: %w", err)
	}
	return changed, nil
}

// readPasswordFile reads name:hash lines; a file that is not there is empty.
func readPasswordFile(path string) (map[string]string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	hashes := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if name, hash, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			hashes[name] = hash
		}
	}
	return hashes, nil
}

// WriteTrinoGroups writes Trino's group file, a line per group in the order of
// the topology: "engineers:mike,admin".
func (s *Store) WriteTrinoGroups(path string) (changed bool, err error) {
	people, err := s.People()
	if err != nil {
		return false, err
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
	changed, err = replaceFile(path, b.Bytes())
	if err != nil {
		return false, fmt.Errorf("write Trino's groups: %w", err)
	}
	return changed, nil
}
