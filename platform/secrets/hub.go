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
	"maps"
	"os"
	"slices"
	"strconv"

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

const hubLoginName = "hub-login.json"

// SetHubLogin keeps how people log in to JupyterHub, the text of a jupyterhub.LoginProvider;
// empty is by the passwords of the mesh.
func (s *Store) SetHubLogin(text string) error {
	if _, err := s.kept.replace(hubLoginName, []byte(text)); err != nil {
		return fmt.Errorf("keep the log-in of JupyterHub: %w", err)
	}
	return nil
}

// WriteHubLogin writes that text where the hub reads it. Without one nothing is
// left there, and found is false.
func (s *Store) WriteHubLogin(path string) (found bool, err error) {
	text, err := s.kept.read(hubLoginName)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("read the log-in of JupyterHub: %w", err)
	}
	if len(text) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, fmt.Errorf("remove the log-in of JupyterHub: %w", err)
		}
		return false, nil
	}
	if _, err := replaceFile(path, text); err != nil {
		return false, fmt.Errorf("write the log-in of JupyterHub: %w", err)
	}
	return true, nil
}

// hubIterations is what OWASP asks of PBKDF2-HMAC-SHA256.
const hubIterations = 600_000

// A HubAccounts file says who may log in to JupyterHub. It holds no password that
// somebody logs in there with.
type HubAccounts struct {
	People map[string]HubAccount `json:"people"`
	// UIDs holds the user ids of the people, and of the person admin, who comes and goes.
	UIDs map[string]int `json:"uids"`
	// Former are people who left. Nobody gets their user id again, nor, under
	// their name, their home folder.
	Former []FormerAccount `json:"former,omitempty"`
}

// A FormerAccount is somebody who left.
type FormerAccount struct {
	Name string `json:"name"`
	UID  int    `json:"uid"`
}

// A HubAccount is one person.
type HubAccount struct {
	Group    string       `json:"group"`
	Admin    bool         `json:"admin"`
	UID      int          `json:"uid"`
	Home     string       `json:"home"` // name of the home folder
	Password PasswordHash `json:"password"`
	StoreKey string       `json:"storeKey,omitempty"` // secret key of the access key of that name
	// Databases are the person's own log-ins, as libpq's parameters by the name
	// that people know.
	Databases map[string]map[string]string `json:"databases,omitempty"`
}

// A Notebooks says of a mesh what its people's notebook servers need.
type Notebooks struct {
	Databases []NotebookDatabase
	// FirstUID to LastUID are the user ids of the people; zero for all that
	// meshes give to people.
	FirstUID, LastUID int
}

// A NotebookDatabase is one that people with a log-in to its server reach from notebooks.
type NotebookDatabase struct {
	Name     string // "sales"
	Server   string // whose log-ins open it, as the topology calls it
	Host     string
	Port     int
	Database string
}

// A PasswordHash is PBKDF2-HMAC-SHA256, both parts in hexadecimal.
type PasswordHash struct {
	Salt       string `json:"salt"`
	Iterations int    `json:"iterations"`
	Hash       string `json:"hash"`
}

// WriteHubAccounts writes the file of those who may log in to JupyterHub, which
// the hub reads again when it changes.
func (s *Store) WriteHubAccounts(path string, notebooks Notebooks) (changed bool, err error) {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("write the accounts of JupyterHub: %w", err)
	}
	content, err := s.HubAccounts(old, notebooks)
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
func (s *Store) HubAccounts(old []byte, notebooks Notebooks) ([]byte, error) {
	var before HubAccounts
	if len(old) > 0 {
		if err := json.Unmarshal(old, &before); err != nil {
			return nil, fmt.Errorf("the file is damaged (%w); remove it and run \"meesh up\"", err)
		}
	}
	if notebooks.FirstUID == 0 {
		notebooks.FirstUID, notebooks.LastUID = topology.FirstPersonUID, topology.LastPersonUID
	}
	after := HubAccounts{People: map[string]HubAccount{}, UIDs: before.UIDs, Former: before.Former}
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
	for _, name := range slices.Sorted(maps.Keys(after.UIDs)) {
		if name != topology.Admin.Name && !slices.ContainsFunc(people, func(p topology.Person) bool { return p.Name == name }) {
			after.Former = append(after.Former, FormerAccount{name, after.UIDs[name]})
			delete(after.UIDs, name)
		}
	}
	for _, p := range people {
		if p.Group == "services" || p.Group == "services_ro" { // programs have no use for notebooks
			continue
		}
		account := HubAccount{Group: p.Group, Admin: p.Group == engineers, Home: p.Name}
		if account.UID, err = after.uidOf(p.Name, notebooks); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(after.Former, func(f FormerAccount) bool { return f.Name == p.Name }) {
			account.Home = fmt.Sprintf("%s-%d", p.Name, account.UID) // no name has a hyphen
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
		// And no log-ins to databases.
		if p.Name != topology.Admin.Name {
			if account.Databases, err = s.databasesOf(p, notebooks.Databases); err != nil {
				return nil, err
			}
		}
		after.People[p.Name] = account
	}
	text, err := json.MarshalIndent(after, "", "  ")
	return append(text, '\n'), err
}

// databasesOf are a person's own log-ins to those of the databases that their group may connect to.
func (s *Store) databasesOf(p topology.Person, databases []NotebookDatabase) (map[string]map[string]string, error) {
	var all map[string]map[string]string
	for _, d := range databases {
		if !slices.Contains(serversOf(p), d.Server) {
			continue
		}
		password, err := s.Role(d.Server, p.Name)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = map[string]map[string]string{}
		}
		all[d.Name] = map[string]string{"host": d.Host, "port": strconv.Itoa(d.Port), "dbname": d.Database, "user": p.Name, "password": password}
	}
	return all, nil
}

// uidOf gives a person the next free user id, once.
func (a *HubAccounts) uidOf(name string, n Notebooks) (int, error) {
	if uid, ok := a.UIDs[name]; ok {
		return uid, nil
	}
	next := n.FirstUID
	for _, uid := range a.UIDs {
		next = max(next, uid+1)
	}
	for _, f := range a.Former {
		next = max(next, f.UID+1)
	}
	if next > n.LastUID {
		return 0, fmt.Errorf("no user id is left for %s: %d to %d were given away", name, n.FirstUID, n.LastUID)
	}
	a.UIDs[name] = next
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
