// Package secrets makes and keeps the passwords, keys and certificates of one mesh.
package secrets

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/datameesh/datameesh/platform/topology"
)

// AdminPasswordVariable names the environment variable that, when set, makes
// the person topology.Admin exist with that password.
const AdminPasswordVariable = "MEESH_ADMIN_PASSWORD"

// A Kind says what opens with a secret.
type Kind string

// Kinds of secrets.
const (
	KindPerson   Kind = "person"
	KindService  Kind = "service user"
	KindAPIKey   Kind = "API key"
	KindDatabase Kind = "database role"
	KindStore    Kind = "object store key"
	KindSource   Kind = "data source" // made by people, not by Ensure
	KindInternal Kind = "internal"
)

// A Secret is one password or key: what it is, not its value.
type Secret struct {
	Kind Kind
	Name string // "mike", "sales-reader", "sales-db/sales_owner", "s3/alex"
	For  string // what it is for, one phrase
}

// file is the name of a secret in the store.
func (s Secret) file() string {
	switch s.Kind {
	case KindPerson, KindService:
		return "people/" + s.Name
	case KindAPIKey:
		return "keys/" + s.Name
	case KindDatabase:
		return "databases/" + s.Name
	case KindStore:
		return s.Name
	case KindSource:
		return "sources/" + s.Name
	default:
		return "internal/" + s.Name
	}
}

// Names of the internal secrets.
const (
	trinoSharedSecret = "trino-shared-secret"
	grafanaAdmin      = "grafana-admin"
	grafanaSecretKey  = "grafana-secret-key"
	auditToken        = "audit-token"
	auditKey          = "audit-key"
	maskKey           = "mask-key"
)

// storeName is the name of the secret of an object store key.
func storeName(access string) string { return "s3/" + access }

// ErrNone tells that a folder holds no secrets: the mesh was never started.
var ErrNone = errors.New("the mesh has no secrets yet; start it with: meesh up")

// An UnknownError tells that there is no secret of that name.
type UnknownError struct {
	Name string
	Near []string // names that look alike, best first; may be empty
}

func (e *UnknownError) Error() string {
	msg := fmt.Sprintf("no secret is called %q", e.Name)
	if len(e.Near) > 0 {
		msg += "; near: " + strings.Join(e.Near, ", ")
	}
	return msg
}

// A Store holds the secrets of one mesh: in a folder a file per secret, mode
// 0600, holding the secret alone.
type Store struct {
	kept keeper
	dir  string // empty for a store that is no folder
}

// Ensure makes whatever secret of the topology does not exist yet below dir,
// the local CA included; existing ones stay. adminPassword is the value of
// AdminPasswordVariable; empty removes the person admin.
// changed lists the names of the secrets that were made, replaced or removed.
func Ensure(dir, adminPassword string) (s *Store, changed []string, err error) {
	s = &Store{kept: folder(dir), dir: dir}
	changed, err = s.ensure(adminPassword)
	if err != nil {
		return nil, nil, fmt.Errorf("make secrets in %s: %w", dir, err)
	}
	return s, changed, nil
}

// ensure makes what is missing.
func (s *Store) ensure(adminPassword string) (changed []string, err error) {
	if err := checkPassword(adminPassword); err != nil {
		return nil, err
	}
	people, err := s.Persons()
	if err != nil {
		return nil, err
	}
	for _, secret := range wanted(people) {
		made, err := s.kept.ensure(secret.file(), newSecret)
		if err != nil {
			return nil, err
		}
		if made {
			changed = append(changed, secret.Name)
		}
	}
	adminChanged, err := s.ensureAdmin(adminPassword)
	if err != nil {
		return nil, err
	}
	if adminChanged {
		changed = append(changed, topology.Admin.Name)
	}
	keyMade, err := s.ensureTokenKey()
	if err != nil {
		return nil, err
	}
	if keyMade {
		changed = append(changed, "token-key")
	}
	caMade, err := s.ensureCA()
	if err != nil {
		return nil, err
	}
	if caMade {
		changed = append(changed, "ca")
	}
	return changed, nil
}

// Open opens the secrets that Ensure made; ErrNone when it never did.
func Open(dir string) (*Store, error) {
	s := &Store{kept: folder(dir), dir: dir}
	// The CA is made last, so its presence means that everything is there.
	if _, err := s.kept.read(caName); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s: %w", dir, ErrNone)
		}
		return nil, fmt.Errorf("open secrets: %w", err)
	}
	return s, nil
}

// wanted lists the secrets that a mesh with these people has.
func wanted(people []topology.Person) []Secret {
	var all, direct []Secret
	var keys []Secret
	for _, p := range people {
		own := personSecrets(p, serversOf(p))
		all, keys, direct = append(all, own[0]), append(keys, own[1]), append(direct, own[2:]...)
	}
	for _, p := range topology.ServiceUsers {
		all = append(all, Secret{KindService, p.Name, p.Does})
	}
	for _, k := range topology.APIKeys {
		all = append(all, Secret{KindAPIKey, k.Name,
			strings.Join(k.Scopes, " ") + " on " + strings.Join(k.Services, ", ")})
	}
	for _, server := range topology.Servers {
		for _, r := range server.Roles() {
			if r.Kind == topology.KindGroup {
				continue
			}
			all = append(all, Secret{KindDatabase, server.Name + "/" + r.Name, r.Does})
		}
	}
	all = slices.Concat(all, direct, keys)
	for _, p := range topology.StoreUsers {
		all = append(all, Secret{KindStore, storeName(p.Name), "secret key of the access key " + p.Name + ", " + p.Does})
	}
	all = append(all, Secret{KindStore, storeName(topology.StoreRoot), "secret key of the access key " + topology.StoreRoot + ", makes buckets and keys"})
	return append(all, Secret{KindInternal, trinoSharedSecret, "between the nodes of Trino"},
		Secret{KindInternal, maskKey, "key of the hashes that are shown in place of personal data"},
		Secret{KindInternal, grafanaAdmin, "Grafana's account that makes the others"},
		Secret{KindInternal, grafanaSecretKey, "encrypts what Grafana keeps in its database"},
		Secret{KindInternal, auditToken, "shown by who sends events to the audit record"},
		Secret{KindInternal, auditKey, "makes the codes in the audit record"},
		Secret{KindInternal, hubCookies, "signs the cookies of JupyterHub"},
		Secret{KindInternal, hubProxy, "between JupyterHub and its proxy"},
		Secret{KindInternal, hubSalts, "makes the salts of JupyterHub's hashes"})
}

// List lists the secrets of the mesh without their values.
func (s *Store) List() ([]Secret, error) {
	people, err := s.Persons()
	if err != nil {
		return nil, err
	}
	all := wanted(people)
	has, err := s.hasAdmin()
	if err != nil {
		return nil, err
	}
	if has {
		i := len(people)
		admin := Secret{KindPerson, topology.Admin.Name, topology.Admin.Does}
		all = append(all[:i:i], append([]Secret{admin}, all[i:]...)...)
	}
	return all, nil
}

// Lookup returns the secret of that name; *UnknownError when there is none.
func (s *Store) Lookup(name string) (string, error) {
	all, err := s.List()
	if err != nil {
		return "", err
	}
	names := make([]string, len(all))
	for i, secret := range all {
		if secret.Name == name {
			return s.read(secret.file())
		}
		names[i] = secret.Name
	}
	return "", &UnknownError{Name: name, Near: near(name, names)}
}

// Person returns the Trino password of a person or service user.
func (s *Store) Person(name string) (string, error) {
	return s.read(Secret{Kind: KindPerson, Name: name}.file())
}

// APIKey returns a bearer key of the HTTP services.
func (s *Store) APIKey(name string) (string, error) {
	return s.read(Secret{Kind: KindAPIKey, Name: name}.file())
}

// Role returns the password of a role on a PostgreSQL server of the topology.
func (s *Store) Role(server, role string) (string, error) {
	return s.read(Secret{Kind: KindDatabase, Name: server + "/" + role}.file())
}

// StoreKey returns the secret key of an access key of the object store.
func (s *Store) StoreKey(access string) (string, error) {
	return s.read(Secret{Kind: KindStore, Name: storeName(access)}.file())
}

// TrinoSharedSecret returns what the nodes of Trino show each other.
func (s *Store) TrinoSharedSecret() (string, error) {
	return s.read(Secret{Kind: KindInternal, Name: trinoSharedSecret}.file())
}

// MaskKey returns the key of the hashes that Trino shows in place of personal data.
func (s *Store) MaskKey() (string, error) {
	return s.read(Secret{Kind: KindInternal, Name: maskKey}.file())
}

// Grafana returns the password of Grafana's first account and the key that it
// encrypts with.
func (s *Store) Grafana() (admin, key string, err error) {
	if admin, err = s.read(Secret{Kind: KindInternal, Name: grafanaAdmin}.file()); err != nil {
		return "", "", err
	}
	key, err = s.read(Secret{Kind: KindInternal, Name: grafanaSecretKey}.file())
	return admin, key, err
}

// AuditToken returns what senders of events show to mesh-audit.
func (s *Store) AuditToken() (string, error) {
	return s.read(Secret{Kind: KindInternal, Name: auditToken}.file())
}

// AuditKey returns what the codes in the audit record are made with.
func (s *Store) AuditKey() (string, error) {
	return s.read(Secret{Kind: KindInternal, Name: auditKey}.file())
}

// Source returns the password of a data source that was added to Trino.
func (s *Store) Source(name string) (string, error) {
	return s.read(Secret{Kind: KindSource, Name: name}.file())
}

// HasSource tells whether there is one.
func (s *Store) HasSource(name string) (bool, error) {
	_, err := s.kept.read(Secret{Kind: KindSource, Name: name}.file())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// SetSource keeps the password of a data source; an empty one removes it.
func (s *Store) SetSource(name, password string) error {
	file := Secret{Kind: KindSource, Name: name}.file()
	var err error
	if password != "" {
		_, err = s.kept.replace(file, []byte(password))
	} else if err = s.kept.remove(file); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("keep the password of source %s: %w", name, err)
	}
	return nil
}

// People are those who can log in to Trino, service users last. The person
// admin is among them only when the mesh was started with a password for them.
func (s *Store) People() ([]topology.Person, error) {
	people, err := s.Persons()
	if err != nil {
		return nil, err
	}
	has, err := s.hasAdmin()
	if err != nil {
		return nil, err
	}
	if has {
		people = append(people, topology.Admin)
	}
	return append(people, topology.ServiceUsers...), nil
}

func (s *Store) hasAdmin() (bool, error) {
	_, err := s.kept.read(adminFile())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// AdminPassword returns the password of the person admin, empty when there is none.
func (s *Store) AdminPassword() (string, error) {
	has, err := s.hasAdmin()
	if err != nil || !has {
		return "", err
	}
	return s.read(adminFile())
}

func adminFile() string {
	return Secret{Kind: KindPerson, Name: topology.Admin.Name}.file()
}

func (s *Store) ensureAdmin(password string) (changed bool, err error) {
	if password == "" {
		err := s.kept.remove(adminFile())
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return err == nil, err
	}
	return s.kept.replace(adminFile(), []byte(password))
}

// checkPassword refuses what a password file cannot carry.
func checkPassword(password string) error {
	switch {
	case len(password) > 72:
		return fmt.Errorf("%s is %d bytes long; bcrypt, which Trino checks it with, takes at most 72", AdminPasswordVariable, len(password))
	case strings.ContainsAny(password, "\r\n\x00"):
		return fmt.Errorf("%s contains a line break or a zero byte; use one line of text", AdminPasswordVariable)
	}
	return nil
}

// newSecret makes 32 random bytes, base64url without padding: 43 characters
// that need quoting nowhere.
func newSecret() ([]byte, error) {
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		return nil, err
	}
	return []byte(base64.RawURLEncoding.EncodeToString(b[:])), nil
}

func (s *Store) read(name string) (string, error) {
	b, err := s.kept.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read secret %s: not there; \"meesh up\" makes it", name)
	}
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	// A secret that somebody wrote by hand or mounted may end in a line break.
	value := strings.TrimRight(string(b), "\r\n")
	if value == "" {
		return "", fmt.Errorf("read secret %s: the file is empty; remove it and run \"meesh up\"", name)
	}
	return value, nil
}
