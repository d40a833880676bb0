package apikey

import (
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// A file is read as a whole or refused; what is read lets no unknown key in.
func FuzzFile(f *testing.F) {
	for _, text := range []string{
		`{"keys":[{"name":"a","sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","scopes":["s"]}]}`,
		`{"keys":[{"name":"a","sha256":"00","scopes":[]}]}`, `{"keys":null}`, `{}`, `[]`, ``, `{"keys":[{"sha256":""}]}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "keys.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		ring, err := Open(path)
		if err != nil {
			return
		}
		for _, key := range ring.keys {
			if key.Name == "" || len(key.SHA256) != 2*sha256.Size {
				t.Errorf("%q is read as %+v", text, key)
			}
		}
		if name, status := authorize(ring, "Bearer unknown", "s"); status != 401 {
			t.Errorf("%q lets an unknown key in as %q", text, name)
		}
	})
}

// Whatever a caller sends, nobody but the holder of a key gets in.
func FuzzAuthorization(f *testing.F) {
	for _, header := range []string{"Bearer right", "Bearer  right", "bearer right", "Bearer", "Basic cmlnaHQ=", "Bearer right,Bearer right", "Bearer a.b.c"} {
		f.Add(header)
	}
	path := filepath.Join(f.TempDir(), "keys.json")
	writeKeys(f, path)
	ring, err := Open(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header string) {
		request := httptest.NewRequest(http.MethodGet, "/", nil)
		request.Header["Authorization"] = []string{header}
		if name, err := ring.Authorize(request, "s"); (err == nil) != (header == "Bearer right") {
			t.Errorf("%q comes in as %q: %v", header, name, err)
		}
	})
}

func writeKeys(f *testing.F, path string) {
	f.Helper()
	const hash = "27042f4e6eca7d0b2a7ee4026df2ecfa51d3339e6d122aa099118ecd8563bad9" // of "right"
	if err := os.WriteFile(path, []byte(`{"keys":[{"name":"a","sha256":"`+hash+`","scopes":["s"]}]}`), 0o600); err != nil {
		f.Fatal(err)
	}
}
