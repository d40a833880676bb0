package secrets

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/datameesh/datameesh/platform/topology"
)

func readAccounts(t *testing.T, path string) HubAccounts {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var a HubAccounts
	if err := json.Unmarshal(text, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestHubAccounts(t *testing.T) {
	dir := t.TempDir()
	s, _, err := Ensure(filepath.Join(dir, "secrets"), "")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "accounts.json")
	var notebooks Notebooks
	for i, server := range []string{"sales-db", "marketing-db", "platform-db"} {
		notebooks.Databases = append(notebooks.Databases, NotebookDatabase{"in " + server, server, "127.0.0.1", 5432 + i, "data"})
	}
	if changed, err := s.WriteHubAccounts(path, notebooks); err != nil || !changed {
		t.Fatal(changed, err)
	}
	if changed, err := s.WriteHubAccounts(path, notebooks); err != nil || changed {
		t.Errorf("written again: %v %v", changed, err)
	}
	accounts := readAccounts(t, path)
	if len(accounts.People) != 6 {
		t.Errorf("%d people, want 6 and no service user", len(accounts.People))
	}
	for i, want := range []struct {
		name, group string
		admin       bool
		databases   string
	}{
		{"alex", "data_science", false, "marketing-db platform-db sales-db"}, {"sarah", "analysts", false, "platform-db"},
		{"mike", "engineers", true, "marketing-db platform-db sales-db"}, {"emma", "executives", false, ""},
		{"sam", "sales_team", false, "sales-db"}, {"mia", "marketing_team", false, "marketing-db sales-db"},
	} {
		a := accounts.People[want.name]
		if a.Group != want.group || a.Admin != want.admin || a.UID != 61001+i {
			t.Errorf("%s is %+v", want.name, a)
		}
		password, err := s.Person(want.name)
		if err != nil {
			t.Fatal(err)
		}
		salt, err := hex.DecodeString(a.Password.Salt)
		if err != nil || len(salt) != 16 {
			t.Errorf("salt of %s: %q %v", want.name, a.Password.Salt, err)
		}
		hash, err := pbkdf2.Key(sha256.New, password, salt, 600_000, 32)
		if err != nil || hex.EncodeToString(hash) != a.Password.Hash || a.Password.Iterations != 600_000 {
			t.Errorf("the hash of %s does not fit the password: %+v %v", want.name, a.Password, err)
		}
		if key, err := s.StoreKey(want.name); err != nil || a.StoreKey != key {
			t.Errorf("the store key of %s: %v", want.name, err)
		}
		// Which databases: docs/security.md. Each log-in is the person's own.
		var servers []string
		for name, login := range a.Databases {
			server := strings.TrimPrefix(name, "in ")
			servers = append(servers, server)
			if password, err := s.Role(server, want.name); err != nil || login["user"] != want.name || login["password"] != password || login["dbname"] != "data" {
				t.Errorf("the log-in of %s to %s: %v %v", want.name, server, login, err)
			}
		}
		slices.Sort(servers)
		if got := strings.Join(servers, " "); got != want.databases {
			t.Errorf("%s has log-ins to %q, want %q", want.name, got, want.databases)
		}
	}

	// admin comes and goes; their user id stays theirs.
	if s, _, err = Ensure(filepath.Join(dir, "secrets"), "a-password-of-admin"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.WriteHubAccounts(path, notebooks); err != nil {
		t.Fatal(err)
	}
	with := readAccounts(t, path)
	if a := with.People[topology.Admin.Name]; a.UID != 61007 || !a.Admin || a.Databases != nil || with.People["alex"].Password != accounts.People["alex"].Password {
		t.Errorf("with admin: %+v", with.People)
	}
	if s, _, err = Ensure(filepath.Join(dir, "secrets"), ""); err != nil {
		t.Fatal(err)
	}
	if _, err := s.WriteHubAccounts(path, notebooks); err != nil {
		t.Fatal(err)
	}
	without := readAccounts(t, path)
	if _, there := without.People[topology.Admin.Name]; there || without.UIDs[topology.Admin.Name] != 61007 {
		t.Errorf("without admin: %+v", without)
	}

	// A new password gets a new hash, and nobody else's changes.
	if err := os.WriteFile(filepath.Join(dir, "secrets", "people", "alex"), []byte("pässwörd 密码"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.WriteHubAccounts(path, notebooks); err != nil {
		t.Fatal(err)
	}
	changed := readAccounts(t, path)
	if changed.People["alex"].Password.Hash == accounts.People["alex"].Password.Hash || !reflect.DeepEqual(changed.People["mike"], accounts.People["mike"]) {
		t.Error("a new password of alex changed the wrong hashes")
	}

	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.WriteHubAccounts(path, notebooks); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged file: %v", err)
	}
}

func TestUserIDsRunOut(t *testing.T) {
	range1 := Notebooks{FirstUID: 61112, LastUID: 61114}
	for _, a := range []HubAccounts{
		{UIDs: map[string]int{"alex": 61114}},
		{UIDs: map[string]int{}, Former: []FormerAccount{{"alex", 61114}}},
	} {
		if _, err := a.uidOf("zoe", range1); err == nil || !strings.Contains(err.Error(), "61112 to 61114") {
			t.Errorf("one too many: %v", err)
		}
	}
	a := HubAccounts{UIDs: map[string]int{}}
	if uid, err := a.uidOf("zoe", range1); err != nil || uid != 61112 {
		t.Errorf("the first of a mesh: %d %v", uid, err)
	}
}

// Who gets the name of somebody who left gets neither their user id nor their home.
func TestNamesake(t *testing.T) {
	dir := t.TempDir()
	s, _, err := Ensure(filepath.Join(dir, "secrets"), "")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "accounts.json")
	for _, p := range topology.People { // whose hashes take time
		if p.Name != "mike" {
			if err := s.RemovePerson(p.Name); err != nil {
				t.Fatal(err)
			}
		}
	}
	add := func() HubAccount {
		t.Helper()
		if err := s.AddPerson(topology.Person{Name: "dana", Group: "analysts"}, ""); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Ensure(filepath.Join(dir, "secrets"), ""); err != nil {
			t.Fatal(err)
		}
		if _, err := s.WriteHubAccounts(path, Notebooks{}); err != nil {
			t.Fatal(err)
		}
		return readAccounts(t, path).People["dana"]
	}
	remove := func() {
		t.Helper()
		if err := s.RemovePerson("dana"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.WriteHubAccounts(path, Notebooks{}); err != nil {
			t.Fatal(err)
		}
	}
	first := add()
	if first.UID != 61002 || first.Home != "dana" {
		t.Errorf("the first is %+v", first)
	}
	remove()
	if a := readAccounts(t, path); a.UIDs["dana"] != 0 || !slices.Equal(a.Former, []FormerAccount{{"dana", 61002}}) {
		t.Errorf("without her: %+v", a)
	}
	second := add()
	if second.UID != 61003 || second.Home != "dana-61003" || second.Password == first.Password {
		t.Errorf("the second is %+v", second)
	}
	remove()
	if third := add(); third.UID != 61004 || third.Home != "dana-61004" {
		t.Errorf("the third is %+v", third)
	}
}

func TestTokenKeys(t *testing.T) {
	dir := t.TempDir()
	s, _, err := Ensure(filepath.Join(dir, "secrets"), "")
	if err != nil {
		t.Fatal(err)
	}
	private, public := filepath.Join(dir, "private.pem"), filepath.Join(dir, "public.pem")
	if err := s.WriteTokenKeys(private, public); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{private: "PRIVATE KEY", public: "PUBLIC KEY"} {
		text, err := os.ReadFile(path)
		if err != nil || !strings.HasPrefix(string(text), "-----BEGIN "+want+"-----\n") {
			t.Errorf("%s: %q %v", path, text[:min(len(text), 40)], err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", path, info.Mode(), err)
		}
	}
	if text, _ := os.ReadFile(public); strings.Contains(string(text), "PRIVATE") {
		t.Error("Trino's half holds the private key")
	}
	if err := os.WriteFile(filepath.Join(dir, "secrets", tokenKey), []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.TokenPublicKey(); err == nil || !strings.Contains(err.Error(), "is not PEM; remove it") {
		t.Errorf("a damaged key: %v", err)
	}
	cookies, proxy, err := s.Hub()
	if _, hexErr := hex.DecodeString(cookies); err != nil || hexErr != nil || len(cookies) != 64 || len(proxy) != 43 {
		t.Errorf("secrets of the hub: %d and %d letters, %v", len(cookies), len(proxy), err)
	}
}

func TestHubLogin(t *testing.T) {
	dir := t.TempDir()
	s, _, err := Ensure(filepath.Join(dir, "secrets"), "")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "login.json")
	for _, text := range []string{"", `{"kind": "ldap"}`, `{"kind": "oidc"}`, ""} {
		if err := s.SetHubLogin(text); err != nil {
			t.Fatal(err)
		}
		found, err := s.WriteHubLogin(path)
		if err != nil || found != (text != "") {
			t.Errorf("%q: %t, %v", text, found, err)
		}
		written, err := os.ReadFile(path)
		if string(written) != text || (err == nil) != found {
			t.Errorf("the hub reads %q, %v, want %q", written, err, text)
		}
		info, err := os.Stat(path)
		if found && (err != nil || info.Mode().Perm() != 0o600) {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
	}
}
