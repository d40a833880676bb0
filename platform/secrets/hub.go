package secrets

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/datameesh/datameesh/platform/topology"
)

// Names of JupyterHub's secrets in the store.
const (
	hubCookies = "jupyterhub-cookies"
	hubProxy   = "jupyterhub-proxy"
	hubSalts   = "jupyterhub-salts"
	tokenKey   = "internal/token-key.pem" // signs the people's tokens for Trino
)

// engineers are the administrators of JupyterHub.
const engineers = "engineers"

// tokenKeyBits of the RSA key; RS256 is what Trino and every library know.
const tokenKeyBits = 2048

// ensureTokenKey makes the key that signs tokens for Trino once.
func (s *Store) ensureTokenKey() (made bool, err error) {
	return s.kept.ensure(tokenKey, func() ([]byte, error) {
		key, err := rsa.GenerateKey(rand.Reader, tokenKeyBits)
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
	})
}

// TokenKey returns the private key that signs the people's tokens for Trino, PEM.
func (s *Store) TokenKey() ([]byte, error) {
	text, err := s.read(tokenKey)
	return []byte(text + "\n"), err
}

// TokenPublicKey returns the key that Trino checks tokens with, PEM.
func (s *Store) TokenPublicKey() ([]byte, error) {
	text, err := s.TokenKey()
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s is not PEM; remove it and run \"meesh up\"", tokenKey)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; remove it and run \"meesh up\"", tokenKey, err)
	}
	private, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s is no RSA key; remove it and run \"meesh up\"", tokenKey)
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// WriteTokenKeys writes the two halves of the key: the private one where the hub
// reads it, the public one where Trino does. An empty path is left out.
func (s *Store) WriteTokenKeys(private, public string) error {
	for _, half := range []struct {
		path string
		text func() ([]byte, error)
	}{{private, s.TokenKey}, {public, s.TokenPublicKey}} {
		if half.path == "" {
			continue
		}
		text, err := half.text()
		if err == nil {
			_, err = replaceFile(half.path, text)
		}
		if err != nil {
			return fmt.Errorf("write the keys of tokens: %w", err)
		}
	}
	return nil
}

// Hub returns the secrets of JupyterHub: what its cookies are signed with, 64
// hexadecimal digits, and what it shows to its proxy.
func (s *Store) Hub() (cookies, proxy string, err error) {
	if cookies, err = s.read(Secret{Kind: KindInternal, Name: hubCookies}.file()); err != nil {
		return "", "", err
	}
	sum := sha256.Sum256([]byte(cookies))
	proxy, err = s.read(Secret{Kind: KindInternal, Name: hubProxy}.file())
	return hex.EncodeToString(sum[:]), proxy, err
}

// hubIterations is what OWASP asks of PBKDF2-HMAC-SHA256.
const hubIterations = 600_000

// A HubAccounts file says who may log in to JupyterHub. It holds no password.
type HubAccounts struct {
	People map[string]HubAccount `json:"people"`
	// UIDs holds the user ids of all people there ever were, so that nobody
	// inherits the files of somebody who left.
	UIDs map[string]int `json:"uids"`
}

// A HubAccount is one person.
type HubAccount struct {
	Group    string       `json:"group"`
	Admin    bool         `json:"admin"`
	UID      int          `json:"uid"`
	Password PasswordHash `json:"password"`
	StoreKey string       `json:"storeKey,omitempty"` // secret key of the access key of that name
}

// A PasswordHash is PBKDF2-HMAC-SHA256, both parts in hexadecimal.
type PasswordHash struct {
	Salt       string `json:"salt"`
	Iterations int    `json:"iterations"`
	Hash       string `json:"hash"`
}

// WriteHubAccounts writes the file of those who may log in to JupyterHub, which
// the hub reads again when it changes.
func (s *Store) WriteHubAccounts(path string) (changed bool, err error) {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("write the accounts of JupyterHub: %w", err)
	}
	content, err := s.HubAccounts(old)
	if err == nil {
		changed, err = replaceFile(path, content)
	}
	if err != nil {
		return false, fmt.Errorf("write the accounts of JupyterHub: %w", err)
	}
	return changed, nil
}

// HubAccounts is the text of that file; old is what it was before. Hashes that
// still fit their password stay.
func (s *Store) HubAccounts(old []byte) ([]byte, error) {
	var before HubAccounts
	if len(old) > 0 {
		if err := json.Unmarshal(old, &before); err != nil {
			return nil, fmt.Errorf("the file is damaged (%w); remove it and run \"meesh up\"", err)
		}
	}
	after := HubAccounts{People: map[string]HubAccount{}, UIDs: before.UIDs}
	if after.UIDs == nil {
		after.UIDs = map[string]int{}
	}
	salts, err := s.read(Secret{Kind: KindInternal, Name: hubSalts}.file())
	if err != nil {
		return nil, err
	}
	people, err := s.People()
	if err != nil {
		return nil, err
	}
	for _, p := range people {
		if p.Group == "services" || p.Group == "services_ro" { // programs have no use for notebooks
			continue
		}
		account := HubAccount{Group: p.Group, Admin: p.Group == engineers}
		if account.UID, err = uidOf(p.Name, after.UIDs); err != nil {
			return nil, err
		}
		password, err := s.Person(p.Name)
		if err != nil {
			return nil, err
		}
		if account.Password, err = hashPassword(p.Name, password, salts, before.People[p.Name].Password); err != nil {
			return nil, err
		}
		// admin, who exists on demand, has no key of the object store.
		if account.StoreKey, err = s.StoreKey(p.Name); err != nil && p.Name != topology.Admin.Name {
			return nil, err
		}
		after.People[p.Name] = account
	}
	text, err := json.MarshalIndent(after, "", "  ")
	return append(text, '\n'), err
}

// uidOf gives a person the next free user id, once.
func uidOf(name string, given map[string]int) (int, error) {
	if uid, ok := given[name]; ok {
		return uid, nil
	}
	next := topology.FirstPersonUID
	for _, uid := range given {
		next = max(next, uid+1)
	}
	if next > topology.LastPersonUID {
		return 0, fmt.Errorf("no user id is left for %s: %d to %d were given away", name, topology.FirstPersonUID, topology.LastPersonUID)
	}
	given[name] = next
	return next, nil
}

// hashPassword hashes a password unless before fits it. The salt is made of the
// password under a key that only the store has, so it says nothing, and a look
// at it tells whether the password is still the same: to hash all of them again at
// every "up" would take seconds.
func hashPassword(name, password, key string, before PasswordHash) (PasswordHash, error) {
	mac := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(mac, "%q %q", name, password)
	salt := mac.Sum(nil)[:16]
	if before.Salt == hex.EncodeToString(salt) && before.Iterations == hubIterations && before.Hash != "" {
		return before, nil
	}
	hash, err := pbkdf2.Key(sha256.New, password, salt, hubIterations, sha256.Size)
	if err != nil {
		return PasswordHash{}, fmt.Errorf("hash the password of %s: %w", name, err)
	}
	return PasswordHash{hex.EncodeToString(salt), hubIterations, hex.EncodeToString(hash)}, nil
}
