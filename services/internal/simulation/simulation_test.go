package simulation

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/datameesh/datameesh/services/internal/rowrand"
)

// things posts one numbered thing per step.
var things = Script{Program: "thing-simulate", Start: func(ctx context.Context, api *API, _ int64) (Step, error) {
	return func(ctx context.Context, random *rowrand.Stream) error {
		return api.Post(ctx, "things", "/things", random.Below(1e9), nil)
	}, nil
}}

// An api answers the n-th request (from 1) with what answer says, and ends the
// run when that is 0.
type api struct {
	mu     sync.Mutex
	bodies []string
	keys   []string
}

func serve(t *testing.T, answer func(n int) int) (a *api, run func(args ...string) (code int, output string)) {
	a = &api{}
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		status := answer(len(a.bodies) + 1)
		if status == 0 {
			cancel()
			return
		}
		a.bodies = append(a.bodies, string(body))
		a.keys = append(a.keys, r.Header.Get("Idempotency-Key"))
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	t.Setenv("API_URL", server.URL)
	t.Setenv("API_KEY", "key")
	return a, func(args ...string) (int, string) {
		var out bytes.Buffer
		code := Main(ctx, things, append([]string{"--rate", "1000", "--seed", "7"}, args...), &out, &out)
		return code, out.String()
	}
}

// until gives an answer of 201 to n requests, then ends the run.
func until(n int) func(int) int {
	return func(i int) int {
		if i > n {
			return 0
		}
		return 201
	}
}

func TestTheSameSeedSendsTheSame(t *testing.T) {
	one, run := serve(t, until(20))
	if code, out := run(); code != 130 || !strings.Contains(out, "20 things; 0 repeated, 0 failed") {
		t.Errorf("exit code %d: %s", code, out)
	}
	two, run := serve(t, until(20))
	run()
	if strings.Join(one.bodies, ",") != strings.Join(two.bodies, ",") {
		t.Errorf("sent %v and %v", one.bodies, two.bodies)
	}
	other, run := serve(t, until(20))
	run("--seed", "8")
	if strings.Join(one.bodies, ",") == strings.Join(other.bodies, ",") {
		t.Error("another seed sends the same")
	}
}

func TestABusyAPIIsAskedAgain(t *testing.T) {
	a, run := serve(t, func(n int) int {
		return []int{201, 429, 503, 201, 0}[n-1]
	})
	if code, out := run(); code != 130 || !strings.Contains(out, "2 things; 2 repeated, 0 failed") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if a.bodies[1] != a.bodies[2] || a.bodies[2] != a.bodies[3] || a.keys[1] != a.keys[3] || a.keys[0] == a.keys[1] {
		t.Errorf("sent %v with the keys %v", a.bodies, a.keys)
	}
}

func TestFailuresAreReported(t *testing.T) {
	_, run := serve(t, func(n int) int {
		if n == 2 {
			return 422
		}
		return 201
	})
	if code, out := run("--for", "100ms"); code != 1 || !strings.Contains(out, "POST /things: 422") || !strings.Contains(out, "1 failed") {
		t.Errorf("exit code %d: %s", code, out)
	}
	_, run = serve(t, func(int) int { return 401 })
	if code, out := run(); code != 1 || !strings.Contains(out, "refuses API_KEY") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

func TestTheTimeIsOver(t *testing.T) {
	_, run := serve(t, func(int) int { return 201 })
	if code, out := run("--for", "50ms"); code != 0 || !strings.Contains(out, "0 failed") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

func TestNobodyAnswers(t *testing.T) {
	_, run := serve(t, until(0))
	t.Setenv("API_URL", "http://127.0.0.1:1")
	if code, out := run("--for", "50ms"); code != 3 || !strings.Contains(out, "did not answer once") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

func TestWrongUsage(t *testing.T) {
	_, run := serve(t, until(0))
	for _, args := range [][]string{{"--rate", "0"}, {"--rate", "NaN"}, {"--rate", "1e9"}, {"--for", "-1s"}, {"--for", "soon"}, {"--unknown"}, {"extra"}} {
		if code, out := run(args...); code != 2 {
			t.Errorf("%v: exit code %d: %s", args, code, out)
		}
	}
	if code, out := run("--help"); code != 0 || !strings.Contains(out, "Exit codes") {
		t.Errorf("exit code %d: %s", code, out)
	}
	t.Setenv("API_KEY", "")
	if code, out := run(); code != 2 || !strings.Contains(out, "API_KEY") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

func TestManyFailuresAreOnlyCounted(t *testing.T) {
	var out bytes.Buffer
	a := newAPI("p", "http://x", "k", &out)
	for i := range 100 {
		a.report(fmt.Errorf("failure %d", i))
	}
	if lines := strings.Count(out.String(), "\n"); lines != maxReported+1 || a.failed != 100 {
		t.Errorf("%d lines, %d counted", lines, a.failed)
	}
}
