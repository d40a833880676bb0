package tour

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/topology"
)

func TestCents(t *testing.T) {
	for text, want := range map[string]string{"12": "12.00", "12.5": "12.50", "12.34": "12.34", "12.345": "12.345", "0": "0.00"} {
		if got := cents(text); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
}

func TestSheets(t *testing.T) {
	if got := sheets("<</Type /Page\n/Parent 1 0 R <</Type /Pages <</Type/Page /Font"); got != 2 {
		t.Errorf("%d sheets", got)
	}
}

// The alert is told by a mail, not by a rule that exists: none is waited for, one that says
// that all is well again does not count, and a conversion that is high is told to nobody.
func TestAlertIsMailed(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.Contains(r.URL.Path, "/message/"):
			fmt.Fprintf(w, `{"Text": %q}`, r.URL.Path)
		case r.URL.Query().Get("query") != `subject:"Conversion below 20 %" to:sarah`:
			t.Errorf("asked for %s", r.URL)
		case asked.Add(1) < 3:
			fmt.Fprint(w, `{"messages": [{"ID": "old", "Subject": "[RESOLVED] Conversion below 20 %", "Created": "2026-11-28T10:00:00Z"}]}`)
		default:
			fmt.Fprint(w, `{"messages": [{"ID": "new", "Subject": "[FIRING:1] Conversion below 20 %", "Created": "2026-11-28T10:00:00Z"}]}`)
		}
	}))
	server.Listener.Close() //nolint:errcheck // replaced
	server.Listener = listener
	server.Start()
	defer server.Close()
	a := &analyst{mesh: Mesh{Mesh: state.Mesh{PortOffset: listener.Addr().(*net.TCPAddr).Port - topology.PortMailbox}}}
	if found, err := a.told(t.Context(), 0.25); err != nil || !strings.HasPrefix(found, NotShown) || asked.Load() != 0 {
		t.Errorf("a high conversion: %q %v, the mailbox was asked %d times", found, err, asked.Load())
	}
	if found, err := a.told(t.Context(), 0.15); err != nil || !strings.Contains(found, "15.0 %") || asked.Load() != 3 {
		t.Errorf("a low one: %q %v, the mailbox was asked %d times", found, err, asked.Load())
	}
	asked.Store(-1_000_000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for ctx.Err() == nil && asked.Load() < -999_998 { // it has been asked, and waits
			runtime.Gosched()
		}
		cancel()
	}()
	if found, err := a.told(ctx, 0.15); err == nil {
		t.Errorf("without a mail: %q", found)
	}
}

// What a step of Grafana fails on is Grafana.
func TestGrafanaIsNamed(t *testing.T) {
	want := map[string]string{"08:32": "grafana", "10:00": "grafana, platform-db", "11:00": "grafana, mailbox, platform-db"}
	for _, s := range Analyst(Mesh{}).Steps {
		if needs, ok := want[s.At]; ok && strings.Join(s.Needs, ", ") != needs {
			t.Errorf("%s needs %v, want %s", s.Name, s.Needs, needs)
		}
	}
}

// Without a Grafana its steps are not shown; they neither hold nor fail.
func TestWithoutGrafana(t *testing.T) {
	var notShown int
	for _, s := range Analyst(Mesh{}).Steps {
		switch s.At {
		case "08:32", "10:00", "11:00":
			found, err := s.Run(t.Context())
			if err != nil || !strings.HasPrefix(found, NotShown) {
				t.Errorf("%s: %q, %v", s.Name, found, err)
			}
			notShown++
		}
	}
	if notShown != 3 {
		t.Errorf("%d steps need a Grafana", notShown)
	}
}
