package dbt

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// docsFiles are all files of the documents.
var docsFiles = []string{"index.html", "manifest.json", "catalog.json"}

// docsLink leads to the newest documents.
func docsLink(work string) string { return filepath.Join(work, "docs") }

// MakeDocs makes the documents of what is published and shows them instead of
// the ones before, all files at once.
func (r Runner) MakeDocs(ctx context.Context) (err error) {
	var said bytes.Buffer
	quiet := r
	quiet.Stdout, quiet.Stderr, quiet.Color = &said, &said, false
	if err := quiet.Run(ctx, Marts, "docs", "generate"); err != nil {
		return fmt.Errorf("make the documents: %w\n%s", err, said.String())
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("show the documents: %w", err)
		}
	}()
	dir, err := os.MkdirTemp(r.Work, "docs-")
	if err != nil {
		return err
	}
	for _, name := range docsFiles {
		text, err := os.ReadFile(filepath.Join(r.target(Marts), name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return err
		}
	}
	link := docsLink(r.Work)
	temp := link + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := errors.Join(os.Symlink(filepath.Base(dir), temp), os.Rename(temp, link)); err != nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(r.Work, "docs-*"))
	if err != nil {
		return err
	}
	for _, name := range old {
		if name != dir {
			if err := os.RemoveAll(name); err != nil {
				return err
			}
		}
	}
	return nil
}

var inlineScript = regexp.MustCompile(`(?s)<script[^>]*>(.*?)</script>`)

// contentPolicy lets a page run the scripts that it holds, and nothing that came
// from elsewhere or was put in later.
func contentPolicy(page []byte) string {
	var scripts []string
	for _, s := range inlineScript.FindAllSubmatch(page, -1) {
		sum := sha256.Sum256(s[1])
		scripts = append(scripts, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	}
	if len(scripts) == 0 {
		scripts = []string{"'none'"}
	}
	return "default-src 'none'; script-src " + strings.Join(scripts, " ") +
		"; style-src 'unsafe-inline'; img-src data:; font-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// DocsHandler serves the newest documents below work, those files only.
func DocsHandler(work string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /{file...}", func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cache-Control", "no-cache")
		header.Set("Content-Security-Policy", contentPolicy(nil))
		name := r.PathValue("file")
		if name == "" {
			name = "index.html"
		}
		if !slices.Contains(docsFiles, name) {
			http.NotFound(w, r)
			return
		}
		text, err := os.ReadFile(filepath.Join(docsLink(work), name))
		if errors.Is(err, fs.ErrNotExist) {
			header.Set("Retry-After", "10")
			http.Error(w, "The dbt documents are made with the first build: meesh dbt build", http.StatusServiceUnavailable)
			return
		}
		if err != nil {
			http.Error(w, "The dbt documents cannot be read.", http.StatusInternalServerError)
			return
		}
		sum := sha256.Sum256(text)
		header.Set("ETag", `"`+base64.RawURLEncoding.EncodeToString(sum[:12])+`"`)
		if name == "index.html" {
			header.Set("Content-Security-Policy", contentPolicy(text))
		}
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(text))
	})
	return mux
}
