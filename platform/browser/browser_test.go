package browser

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// A field may take the focus long after its page is loaded; no key may be lost.
func TestLogin(t *testing.T) {
	const form = `<!doctype html><form method="post" action="/login"><input name="name" required><input type="password" name="password" required><button>Log in</button></form>
<script>onload = () => setTimeout(() => document.querySelector('[name=name]').focus(), 300)</script>`
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost && r.FormValue("name") == "emma" && r.FormValue("password") == "right":
			http.Redirect(w, r, "/", http.StatusSeeOther)
		case r.Method == http.MethodPost:
			fmt.Fprintf(w, `<!doctype html><p role="alert">Not %s.</p>%s`, r.FormValue("name"), form)
		case r.URL.Path == "/login":
			fmt.Fprint(w, form)
		default:
			fmt.Fprint(w, `<!doctype html><form class="who"><button>Log out</button></form>`)
		}
	}))
	defer site.Close()
	b, err := Start(t.Context())
	if errors.Is(err, ErrNone) && os.Getenv("CI") != "true" {
		t.Skipf("not run: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if err := b.Login(site.URL, "emma", "right"); err != nil {
		t.Error(err)
	}
	if err := b.Login(site.URL, "emma", "wrong"); err == nil || !strings.Contains(err.Error(), `the page says "Not emma."`) {
		t.Errorf("a refused log-in: %v", err)
	}
}
