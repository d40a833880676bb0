package fetch

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const release = "/oss/grafana-12.4.11.linux-amd64.tar.gz"

// releaseOf is a small release of Grafana, and the text of the file with its checksum.
func releaseOf(t *testing.T, files ...string) (content []byte, sum string) {
	t.Helper()
	var headers []tar.Header
	for _, name := range files {
		headers = append(headers, tar.Header{Name: "grafana-12.4.11/" + name, Typeflag: tar.TypeReg, Mode: 0o755})
	}
	content = tarGzOf(t, headers...)
	raw := sha256.Sum256(content)
	return content, hex.EncodeToString(raw[:])
}

var wholeRelease = []string{"bin/grafana", "conf/defaults.ini", "public/build/app.js", "public/build/app.js.map", "docs/index.md"}

// releases serves a release as the mode says, and counts what was asked for.
type releases struct {
	*httptest.Server
	content []byte
	sum     string
	mode    string
	asked   []string // range of each request for the release
}

func serveRelease(t *testing.T, content []byte, sum string) *releases {
	t.Helper()
	r := &releases{content: content, sum: sum}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch {
		case req.URL.Path == release+".sha256" && r.sum != "":
			fmt.Fprintf(w, "%s  grafana-12.4.11.linux-amd64.tar.gz\n", r.sum)
		case req.URL.Path != release || r.mode == "404":
			http.NotFound(w, req)
		default:
			r.asked = append(r.asked, req.Header.Get("Range"))
			r.serve(w, req)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *releases) serve(w http.ResponseWriter, req *http.Request) {
	if r.mode == "cut" {
		w.Header().Set("Content-Length", fmt.Sprint(len(r.content)))
		_, _ = w.Write(r.content[:len(r.content)/2])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	if r.mode == "corrupted" {
		changed := append([]byte{}, r.content...)
		changed[len(changed)/2] ^= 1
		_, _ = w.Write(changed)
		return
	}
	if r.mode == "whole" { // a server without ranges
		_, _ = w.Write(r.content)
		return
	}
	http.ServeContent(w, req, "", time.Time{}, strings.NewReader(string(r.content)))
}

func nothingInstalled(t *testing.T, cache string) {
	t.Helper()
	if got := InstalledGrafana(cache); len(got) > 0 {
		t.Errorf("installed: %v", got)
	}
	left, err := filepath.Glob(filepath.Join(cache, ".work", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("work folders left: %v %v", left, err)
	}
	if _, err := os.Stat(filepath.Join(cache, "grafana-12.4.11")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a tree is there after a failure: %v", err)
	}
}

func TestGrafanaIsInstalled(t *testing.T) {
	content, sum := releaseOf(t, wholeRelease...)
	server, cache := serveRelease(t, content, sum), t.TempDir()
	var events []Event
	dir, err := Grafana(t.Context(), cache, server.URL+release, "", func(e Event) { events = append(events, e) })
	if err != nil {
		t.Fatal(err)
	}
	for name, there := range map[string]bool{"bin/grafana": true, "conf/defaults.ini": true, "public/build/app.js": true, "public/build/app.js.map": false, "docs/index.md": false} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != there {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := InstalledGrafana(cache); len(got) != 1 || got[0] != dir {
		t.Errorf("installed: %v, want %s", got, dir)
	}
	var total int64
	for _, e := range events {
		if e.Step == Downloading {
			total = e.Total
		}
	}
	if total != int64(len(content)) {
		t.Errorf("the download was said to have %d bytes, it has %d", total, len(content))
	}
	if again, err := Grafana(t.Context(), cache, server.URL+release, "", nil); err != nil || again != dir || len(server.asked) != 1 {
		t.Errorf("again: %s %v, asked %d times", again, err, len(server.asked))
	}
	if left, _ := filepath.Glob(filepath.Join(cache, ".partial", "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What was cut off is continued; by a server that cannot, begun again.
func TestGrafanaIsContinued(t *testing.T) {
	for _, mode := range []string{"good", "whole"} {
		content, sum := releaseOf(t, wholeRelease...)
		server, cache := serveRelease(t, content, sum), t.TempDir()
		server.mode = "cut"
		_, err := Grafana(t.Context(), cache, server.URL+release, "", nil)
		if err == nil || !strings.Contains(err.Error(), "cut off") {
			t.Fatalf("cut off: %v", err)
		}
		nothingInstalled(t, cache)
		server.mode = mode
		if _, err := Grafana(t.Context(), cache, server.URL+release, "", nil); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
		if want := fmt.Sprintf("bytes=%d-", len(content)/2); len(server.asked) != 2 || server.asked[1] != want {
			t.Errorf("asked for %q, want %q", server.asked, want)
		}
	}
}

func TestGrafanaRefused(t *testing.T) {
	content, sum := releaseOf(t, wholeRelease...)
	half, halfSum := releaseOf(t, "bin/grafana", "public/x")
	for name, c := range map[string]struct {
		content              []byte
		published, mode, own string
		want                 string
	}{
		"corrupted":           {content, sum, "corrupted", "", "the download is corrupted: expected sha256 " + sum},
		"another file":        {half, sum, "", "", "corrupted"},
		"no release":          {half, halfSum, "", "", "no release of Grafana: it lacks conf/defaults.ini"},
		"no file":             {content, sum, "404", "", "answers 404 Not Found. " + GrafanaFix},
		"no checksum":         {content, "", "", "", GrafanaSumVariable + " names a checksum"},
		"bad checksum":        {content, "soon", "", "", "holds no SHA-256 sum"},
		"checksum of its own": {content, sum, "", strings.Repeat("0", 64), "expected sha256 " + strings.Repeat("0", 64)},
		"no checksum at all":  {content, sum, "", "abc", "is no SHA-256 sum"},
	} {
		t.Run(name, func(t *testing.T) {
			server, cache := serveRelease(t, c.content, c.published), t.TempDir()
			server.mode = c.mode
			_, err := Grafana(t.Context(), cache, server.URL+release, c.own, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			nothingInstalled(t, cache)
			if left, _ := filepath.Glob(filepath.Join(cache, ".partial", "*")); len(left) > 0 {
				t.Errorf("what is no use would be continued: %v", left)
			}
		})
	}
	t.Run("own checksum of a mirror without one", func(t *testing.T) {
		if _, err := Grafana(t.Context(), t.TempDir(), serveRelease(t, content, "").URL+release, strings.ToUpper(sum), nil); err != nil {
			t.Error(err)
		}
	})
}

func TestGrafanaWithoutNetworkOrAddress(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + listener.Addr().String() + release
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{
		closed:                        "connection refused",
		"ftp://example.org" + release: "is no address of a release",
		"https://example.org/grafana": "is no address of a release",
	} {
		cache := t.TempDir()
		_, err := Grafana(t.Context(), cache, address, "", nil)
		if reason, ok := errors.AsType[*Error](err); !ok || !strings.Contains(err.Error(), want) || !strings.Contains(reason.Fix, GrafanaURLVariable) {
			t.Errorf("%s: %v", address, err)
		}
		nothingInstalled(t, cache)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Grafana(ctx, t.TempDir(), closed, "", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

func TestInstalledGrafanaNewestFirst(t *testing.T) {
	cache := t.TempDir()
	for _, version := range []string{"9.5.2", "12.4.11", "12.4.9"} {
		dir := filepath.Join(cache, "grafana-"+version)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "x"), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := writeManifest(dir, Package{Name: "grafana", Version: version}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(cache, "grafana-12.4.9", "x")); err != nil { // damaged
		t.Fatal(err)
	}
	got := InstalledGrafana(cache)
	if len(got) != 2 || filepath.Base(got[0]) != "grafana-12.4.11" || filepath.Base(got[1]) != "grafana-9.5.2" {
		t.Errorf("got %v", got)
	}
}
