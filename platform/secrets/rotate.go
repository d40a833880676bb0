package secrets

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/datameesh/datameesh/platform/topology"
)

// previous is what an API key was before it was rotated.
type previous struct {
	Key      string    `json:"key"`
	NotAfter time.Time `json:"notAfter"`
}

func previousFile(name string) string {
	return Secret{Kind: KindAPIKey, Name: name}.file() + ".previous"
}

// RotateAPIKey makes a new key of that name; the one before opens for overlap
// longer, so that callers can change one after the other. Of two rotations
// within the overlap the first key ends with the second. *UnknownError when no API key
// is called so.
func (s *Store) RotateAPIKey(name string, overlap time.Duration) (err error) {
	names := make([]string, len(topology.APIKeys))
	for i, k := range topology.APIKeys {
		names[i] = k.Name
	}
	if !slices.Contains(names, name) {
		return &UnknownError{Name: name, Near: near(name, names)}
	}
	old, err := s.APIKey(name)
	if err != nil {
		return err
	}
	value, err := newSecret()
	if err != nil {
		return fmt.Errorf("rotate %s: %w", name, err)
	}
	note, err := json.Marshal(previous{old, time.Now().Add(overlap).UTC().Truncate(time.Second)})
	if err != nil {
		return fmt.Errorf("rotate %s: %w", name, err)
	}
	if _, err := s.kept.replace(previousFile(name), note); err != nil {
		return fmt.Errorf("rotate %s: %w", name, err)
	}
	if _, err := s.kept.replace(Secret{Kind: KindAPIKey, Name: name}.file(), value); err != nil {
		return fmt.Errorf("rotate %s: %w", name, err)
	}
	return nil
}

// previousKey gives the key of that name before its last rotation while it
// still opens.
func (s *Store) previousKey(name string) (p previous, found bool, err error) {
	file := previousFile(name)
	text, err := s.kept.read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return previous{}, false, nil
	}
	if err != nil {
		return previous{}, false, err
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return previous{}, false, fmt.Errorf("%s: %w", file, err)
	}
	if time.Now().After(p.NotAfter) {
		return previous{}, false, s.kept.remove(file)
	}
	return p, true, nil
}

func previousRoleFile(server, role string) string {
	return Secret{Kind: KindDatabase, Name: server + "/" + role}.file() + ".previous"
}

// RotateRole makes a new password of a role on a PostgreSQL server of the topology.
// The one before is kept until EndRoleRotation, so that programs can be given the
// new one before PostgreSQL has it; a rotation that was begun keeps both as they are.
func (s *Store) RotateRole(server, role string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("rotate %s of %s: %w", role, server, err)
		}
	}()
	if _, begun, err := s.PreviousRole(server, role); begun || err != nil {
		return err
	}
	old, err := s.Role(server, role)
	if err != nil {
		return err
	}
	value, err := newSecret()
	if err != nil {
		return err
	}
	if _, err := s.kept.replace(previousRoleFile(server, role), []byte(old)); err != nil {
		return err
	}
	_, err = s.kept.replace(Secret{Kind: KindDatabase, Name: server + "/" + role}.file(), value)
	return err
}

// PreviousRole is the password of a role before the rotation that is under way;
// false for none.
func (s *Store) PreviousRole(server, role string) (password string, found bool, err error) {
	text, err := s.kept.read(previousRoleFile(server, role))
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	return string(text), err == nil, err
}

// EndRoleRotation forgets the password before.
func (s *Store) EndRoleRotation(server, role string) error {
	err := s.kept.remove(previousRoleFile(server, role))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
