package secrets

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/datameesh/datameesh/platform/topology"
)

func ensure(t *testing.T, dir, admin string) (*Store, []string) {
	t.Helper()
	s, changed, err := Ensure(dir, admin)
	if err != nil {
		t.Fatal(err)
	}
	return s, changed
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestEnsureIsIdempotent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "secrets")
	_, changed := ensure(t, dir, "")
	first := contents(t, dir)
	// 6 people, 4 service users, 8 keys, Trino's secret, Grafana's two, the audit record's two, JupyterHub's three, the key of tokens, the CA's two
	// files, roles: sales-db 5, sales-api-db 5, marketing-db 7, platform-db 7, direct
	// log-ins: alex 4, mike 4, sarah 1, sam 1, mia 2, and keys of the object store:
	// 6 people, trino, hive, uploads, root; the key of the masks.
	if want := 6 + 4 + 8 + 1 + 2 + 2 + 2 + 5 + 5 + 7 + 7 + 12 + 10 + 1 + 4; len(first) != want {
		t.Errorf("%d files, want %d", len(first), want)
	}
	if want := len(first) - 1; len(changed) != want { // the CA counts once
		t.Errorf("%d changes reported, want %d: %v", len(changed), want, changed)
	}
	_, changed = ensure(t, dir, "")
	if len(changed) != 0 {
		t.Errorf("the second run changed %v", changed)
	}
	second := contents(t, dir)
	for path, content := range first {
		if second[path] != content {
			t.Errorf("%s was rewritten", path)
		}
	}
	if len(second) != len(first) {
		t.Errorf("the second run left %d files, the first %d", len(second), len(first))
	}
}

func TestEnsureSecretsDiffer(t *testing.T) {
	s, _ := ensure(t, t.TempDir(), "")
	all, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, secret := range all {
		v, err := s.Lookup(secret.Name)
		if err != nil {
			t.Fatal(err)
		}
		if len(v) != 43 {
			t.Errorf("%s has %d characters, want 43", secret.Name, len(v))
		}
		if other, ok := seen[v]; ok {
			t.Errorf("%s and %s are the same", other, secret.Name)
		}
		seen[v] = secret.Name
	}
}

func TestEnsureModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "secrets")
	s, _ := ensure(t, dir, "")
	if _, err := s.WriteServerCertificate(filepath.Join(dir, "run", "trino.pem")); err != nil {
		t.Fatal(err)
	}
	loose := filepath.Join(dir, "keys", "sales-admin")
	if err := os.Chmod(loose, 0o644); err != nil {
		t.Fatal(err)
	}
	ensure(t, dir, "")
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEnsureConcurrently(t *testing.T) {
	dir := t.TempDir()
	s := &Store{kept: folder(dir), dir: dir}
	values := make([]string, 8)
	var wg sync.WaitGroup
	for i := range values {
		wg.Go(func() {
			if _, err := s.kept.ensure("keys/x", newSecret); err != nil {
				t.Error(err)
			}
			v, err := s.read("keys/x")
			if err != nil {
				t.Error(err)
			}
			values[i] = v
		})
	}
	wg.Wait()
	for _, v := range values {
		if v != values[0] {
			t.Fatalf("two secrets of one name: %q and %q", v, values[0])
		}
	}
	if files := contents(t, dir); len(files) != 1 {
		t.Errorf("left %d files, want 1", len(files))
	}
}

func TestOpenBeforeEnsure(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, ErrNone) {
		t.Errorf("got %v, want ErrNone", err)
	}
}

func TestAdminExistsOnlyWithPassword(t *testing.T) {
	dir := t.TempDir()
	has := func(s *Store) bool {
		people, err := s.People()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range people {
			if p.Name == "admin" {
				return true
			}
		}
		return false
	}
	s, _ := ensure(t, dir, "")
	if has(s) {
		t.Error("admin exists without a password")
	}
	var unknown *UnknownError
	if _, err := s.Lookup("admin"); !errors.As(err, &unknown) {
		t.Errorf("got %v, want UnknownError", err)
	}
	s, changed := ensure(t, dir, "correct horse")
	if v, err := s.Lookup("admin"); err != nil || v != "correct horse" {
		t.Errorf("got %q, %v", v, err)
	}
	if !has(s) || len(changed) != 1 || changed[0] != "admin" {
		t.Errorf("has admin: %v, changed: %v", has(s), changed)
	}
	s, changed = ensure(t, dir, "")
	if has(s) || len(changed) != 1 {
		t.Errorf("has admin: %v, changed: %v", has(s), changed)
	}
}

func TestAdminPasswordRefused(t *testing.T) {
	for name, password := range map[string]string{
		"too long":   strings.Repeat("x", 73),
		"line break": "a\nb",
		"zero byte":  "a\x00b",
	} {
		if _, _, err := Ensure(t.TempDir(), password); err == nil || !strings.Contains(err.Error(), AdminPasswordVariable) {
			t.Errorf("%s: got %v, want an error that names the variable", name, err)
		}
	}
}

func TestLookupNear(t *testing.T) {
	s, _ := ensure(t, t.TempDir(), "")
	for name, want := range map[string]string{
		"sales-raeder": "sales-reader",
		"Mike":         "mike",
		"marketing":    "marketing-admin",
		"sales_owner":  "sales-db/sales_owner",
	} {
		_, err := s.Lookup(name)
		var unknown *UnknownError
		if !errors.As(err, &unknown) {
			t.Fatalf("%s: got %v, want UnknownError", name, err)
		}
		found := false
		for _, n := range unknown.Near {
			found = found || n == want
		}
		if !found {
			t.Errorf("%s: near %v, want %s among them", name, unknown.Near, want)
		}
	}
	_, err := s.Lookup("xyzzy-plugh")
	var unknown *UnknownError
	if !errors.As(err, &unknown) || len(unknown.Near) != 0 {
		t.Errorf("got %v, want nothing near", err)
	}
}

func TestEmptySecretIsRefused(t *testing.T) {
	dir := t.TempDir()
	s, _ := ensure(t, dir, "")
	if err := os.WriteFile(filepath.Join(dir, "people", "mike"), []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Person("mike"); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("got %v, want an error about an empty file", err)
	}
}

func TestWriteAPIKeys(t *testing.T) {
	dir := t.TempDir()
	s, _ := ensure(t, dir, "")
	path := filepath.Join(dir, "run", "sales-api.keys.json")
	if changed, err := s.WriteAPIKeys(path, "sales-api"); err != nil || !changed {
		t.Fatalf("changed %v, %v", changed, err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Keys []struct {
			Name, SHA256 string
			Scopes       []string
		}
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, k := range file.Keys {
		names = append(names, k.Name)
		value, err := s.APIKey(k.Name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), value) {
			t.Errorf("the file holds the key %s itself", k.Name)
		}
		if sum := sha256.Sum256([]byte(value)); hex.EncodeToString(sum[:]) != k.SHA256 {
			t.Errorf("%s: hash does not belong to the key", k.Name)
		}
	}
	if got := strings.Join(names, " "); got != "sales-reader sales-admin" {
		t.Errorf("keys %s, want sales-reader sales-admin", got)
	}
	if changed, err := s.WriteAPIKeys(path, "sales-api"); err != nil || changed {
		t.Errorf("second write: changed %v, %v", changed, err)
	}
	if _, err := s.WriteAPIKeys(path, "sales-apy"); err == nil {
		t.Error("a service without keys was accepted")
	}
}

// Beside the hashes it says who people are; hashes stay when only that changes.
func TestWriteViewerPeople(t *testing.T) {
	dir := t.TempDir()
	s, _ := ensure(t, dir, "")
	path := filepath.Join(dir, "run", "people")
	write := func() []string {
		t.Helper()
		if _, err := s.writeViewerPeople(path, bcrypt.MinCost); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	}
	first := write()
	var got []string
	for _, line := range first {
		parts := strings.SplitN(line, ":", 4)
		if len(parts) != 4 {
			t.Fatalf("line %q", line)
		}
		password, err := s.Person(parts[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := bcrypt.CompareHashAndPassword([]byte(parts[1]), []byte(password)); err != nil {
			t.Errorf("%s: %v", parts[0], err)
		}
		got = append(got, parts[0]+":"+parts[2]+":"+parts[3])
	}
	if want := []string{
		"alex:data_science:data scientist", "sarah:analysts:business analyst", "mike:engineers:data engineer, admin",
		"emma:executives:executive, read-only", "sam:sales_team:sales team", "mia:marketing_team:marketing analyst of one region",
	}; !slices.Equal(got, want) {
		t.Errorf("people\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if err := s.AddPerson(topology.Person{Name: "dana", Group: "analysts", Does: "reads: much"}, "a-password-of-hers"); err != nil {
		t.Fatal(err)
	}
	second := write()
	if len(second) != 7 || !slices.Equal(second[:6], first) || !strings.HasSuffix(second[6], ":analysts:reads: much") {
		t.Errorf("with dana:\n%s\nbefore:\n%s", strings.Join(second, "\n"), strings.Join(first, "\n"))
	}
	// One that bcrypt would compare by its beginning fits no hash.
	long := strings.Repeat("x", 72)
	for password, ok := range map[string]bool{long: true, long + "y": false} {
		if err := os.WriteFile(filepath.Join(dir, "people", "dana"), []byte(long), 0o600); err != nil {
			t.Fatal(err)
		}
		write()
		if err := os.WriteFile(filepath.Join(dir, "people", "dana"), []byte(password), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.writeViewerPeople(path, bcrypt.MinCost); (err == nil) != ok {
			t.Errorf("%d bytes: %v", len(password), err)
		}
	}
}

func TestWriteTrinoPasswords(t *testing.T) {
	dir := t.TempDir()
	s, _ := ensure(t, dir, "")
	path := filepath.Join(dir, "run", "password.db")
	write := func() (bool, map[string]string) {
		t.Helper()
		changed, err := s.writeTrinoPasswords(path, bcrypt.MinCost) // the real cost takes half a minute under the race detector
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return changed, hashes(text)
	}
	changed, first := write()
	if !changed || len(first) != 10 {
		t.Fatalf("changed %v, %d people, want 10", changed, len(first))
	}
	for name, hash := range first {
		password, err := s.Person(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if changed, _ := write(); changed {
		t.Error("the second write changed the file")
	}
	// One password changes: its hash does, the others do not.
	if err := os.WriteFile(filepath.Join(dir, "people", "mia"), []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	changed, third := write()
	if !changed {
		t.Error("a changed password left the file as it was")
	}
	for name := range first {
		if same := first[name] == third[name]; same == (name == "mia") {
			t.Errorf("%s: hash the same: %v", name, same)
		}
	}
}

func TestWriteTrinoGroups(t *testing.T) {
	dir := t.TempDir()
	s, _ := ensure(t, dir, "pw")
	path := filepath.Join(dir, "groups.txt")
	if _, err := s.WriteTrinoGroups(path); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := `data_science:alex
analysts:sarah
engineers:mike,admin
executives:emma
sales_team:sam
marketing_team:mia
services:dbt,lake
services_ro:collector,verify
`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestServerCertificate(t *testing.T) {
	dir := t.TempDir()
	s, _ := ensure(t, dir, "")
	path := filepath.Join(dir, "run", "trino.pem")
	now := time.Now()
	write := func(at time.Time) bool {
		t.Helper()
		changed, err := s.writeServerCertificate(path, at)
		if err != nil {
			t.Fatal(err)
		}
		return changed
	}
	if !write(now) {
		t.Fatal("nothing written")
	}
	pair, err := tls.LoadX509KeyPair(path, path)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	ca, err := s.CA()
	if err != nil {
		t.Fatal(err)
	}
	if !roots.AppendCertsFromPEM(ca) {
		t.Fatal("the CA is not PEM")
	}
	for name, want := range map[string]bool{
		"localhost": true, "127.0.0.1": true, "::1": true, "example.org": false, "127.0.0.2": false,
	} {
		_, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots})
		if (err == nil) != want {
			t.Errorf("%s: %v, want accepted %v", name, err, want)
		}
	}
	if left := pair.Leaf.NotAfter.Sub(now); left < 364*24*time.Hour || left > 398*24*time.Hour {
		t.Errorf("the certificate lives for %v", left)
	}

	if write(now) {
		t.Error("a fresh certificate was renewed")
	}
	if write(now.Add(200 * 24 * time.Hour)) {
		t.Error("a certificate with 165 days left was renewed")
	}
	if !write(now.Add(330 * 24 * time.Hour)) {
		t.Error("a certificate with 35 days left was not renewed")
	}
	// Another CA: what the old one signed is of no use.
	if err := os.RemoveAll(filepath.Join(dir, "ca")); err != nil {
		t.Fatal(err)
	}
	ensure(t, dir, "")
	if !write(now) {
		t.Error("the certificate of a removed CA was kept")
	}
}

func TestCALivesTenYears(t *testing.T) {
	s, _ := ensure(t, t.TempDir(), "")
	ca, _, err := s.loadCA()
	if err != nil {
		t.Fatal(err)
	}
	if years := time.Until(ca.NotAfter).Hours() / 24 / 365; years < 9.9 || years > 10.1 {
		t.Errorf("the CA lives for %.1f years", years)
	}
	if !ca.IsCA || ca.KeyUsage&x509.KeyUsageCertSign == 0 {
		t.Error("the CA may not sign")
	}
}

// The people that the design names, written by hand.
func TestPeople(t *testing.T) {
	s, _ := ensure(t, t.TempDir(), "")
	people, err := s.People()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range people {
		names = append(names, p.Name)
	}
	if got, want := strings.Join(names, " "), "alex sarah mike emma sam mia dbt collector verify lake"; got != want {
		t.Errorf("people %s, want %s", got, want)
	}
}

func TestRotatedAPIKeyOverlaps(t *testing.T) {
	s, _, err := Ensure(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	old, err := s.APIKey("sales-reader")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keys.json")
	hashes := func() string {
		t.Helper()
		if _, err := s.WriteAPIKeys(path, "sales-api"); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	hash := func(key string) string {
		sum := sha256.Sum256([]byte(key))
		return hex.EncodeToString(sum[:])
	}
	if err := s.RotateAPIKey("sales-reader", time.Hour); err != nil {
		t.Fatal(err)
	}
	next, err := s.APIKey("sales-reader")
	if err != nil || next == old {
		t.Fatalf("the key did not change, error %v", err)
	}
	if text := hashes(); !strings.Contains(text, hash(old)) || !strings.Contains(text, hash(next)) || !strings.Contains(text, "not_after") {
		t.Errorf("during the overlap: %s", text)
	}
	if err := s.RotateAPIKey("sales-reader", 0); err != nil {
		t.Fatal(err)
	}
	if text := hashes(); strings.Contains(text, hash(old)) || strings.Contains(text, hash(next)) && !strings.Contains(text, "not_after") {
		t.Errorf("after a rotation without overlap: %s", text)
	}
	var unknown *UnknownError
	if err := s.RotateAPIKey("sales-raeder", 0); !errors.As(err, &unknown) || len(unknown.Near) == 0 {
		t.Errorf("unknown name: %v", err)
	}
}

// A rotation that was cut off goes on with the password that it began with.
func TestRotatedRole(t *testing.T) {
	s, _, err := Ensure(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	read := func() (now, before string, rotating bool) {
		t.Helper()
		now, err := s.Role("sales-db", "sales_app")
		if err != nil {
			t.Fatal(err)
		}
		before, rotating, err = s.PreviousRole("sales-db", "sales_app")
		if err != nil {
			t.Fatal(err)
		}
		return now, before, rotating
	}
	old, _, rotating := read()
	if rotating {
		t.Error("a rotation is under way before it began")
	}
	var first string
	for range 2 {
		if err := s.RotateRole("sales-db", "sales_app"); err != nil {
			t.Fatal(err)
		}
		now, before, rotating := read()
		if now == old || before != old || !rotating || first != "" && now != first {
			t.Errorf("while rotating: %v, changed %v, previous kept %v", rotating, now != old, before == old)
		}
		first = now
	}
	for range 2 {
		if err := s.EndRoleRotation("sales-db", "sales_app"); err != nil {
			t.Fatal(err)
		}
		if now, _, rotating := read(); now != first || rotating {
			t.Errorf("at the end: rotating %v, the new one stays %v", rotating, now == first)
		}
	}
	if err := s.RotateRole("sales-db", "nobody"); err == nil {
		t.Error("a role that is not there was rotated")
	}
}

// Secrets in a cluster: what was there stays, names fit a Secret's keys, and the
// certificate serves under the names inside the cluster too.
func TestEnsureIn(t *testing.T) {
	s, changed, err := EnsureIn(nil, "")
	if err != nil || len(changed) == 0 {
		t.Fatalf("changed %v, %v", changed, err)
	}
	kept := s.Content()
	for name := range kept {
		if !regexp.MustCompile(`^[-._a-zA-Z0-9]+$`).MatchString(name) {
			t.Errorf("%q is no key of a Secret", name)
		}
	}
	again, changed, err := EnsureIn(kept, "")
	if err != nil || len(changed) != 0 || !maps.EqualFunc(kept, again.Content(), bytes.Equal) {
		t.Fatalf("changed %v, %v", changed, err)
	}
	one, err := s.Role("sales-db", "sales_app")
	if err != nil || one == "" || string(kept["databases..sales-db..sales_app"]) != one {
		t.Errorf("sales_app: %q, %v", one, err)
	}
	const host = "trino-coordinator.data-platform.svc"
	certificate, err := s.ServerCertificate(nil, host)
	if err != nil {
		t.Fatal(err)
	}
	_, rest := pem.Decode(certificate)
	block, _ := pem.Decode(rest)
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil || parsed.VerifyHostname(host) != nil || parsed.VerifyHostname("localhost") != nil {
		t.Errorf("names %v, %v", parsed.DNSNames, err)
	}
	if same, err := again.ServerCertificate(certificate, host); err != nil || !bytes.Equal(same, certificate) {
		t.Errorf("a good certificate was replaced: %v", err)
	}
	if other, err := again.ServerCertificate(certificate, host, "more"); err != nil || bytes.Equal(other, certificate) {
		t.Errorf("a certificate without a name that is needed stayed: %v", err)
	}
}
