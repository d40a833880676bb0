package viewer

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/datameesh/datameesh/platform/topology"
)

// A post takes mail by SMTP and keeps it.
type post struct {
	address string
	mu      sync.Mutex
	mails   []string
}

func newPost(t *testing.T) *post {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	p := &post{address: listener.Addr().String()}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go p.take(conn)
		}
	}()
	return p
}

func (p *post) take(conn net.Conn) {
	defer conn.Close()
	say := func(line string) { fmt.Fprint(conn, line+"\r\n") }
	say("220 post")
	var mail strings.Builder
	data := false
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		line := lines.Text()
		switch {
		case data && line == ".":
			data = false
			p.mu.Lock()
			p.mails = append(p.mails, mail.String())
			p.mu.Unlock()
			say("250 taken")
		case data:
			mail.WriteString(line + "\n")
		case strings.HasPrefix(line, "DATA"):
			data = true
			say("354 go on")
		case strings.HasPrefix(line, "QUIT"):
			say("221 bye")
			return
		default:
			mail.WriteString(line + "\n")
			say("250 ok")
		}
	}
}

func (p *post) taken() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string{}, p.mails...)
}

// Reports of the week are mailed once, to those who may read them; what could not be
// mailed is tried again, and a mesh that begins owes nothing.
func TestWeeklyReports(t *testing.T) {
	_, s := serve(t, figures())
	box := newPost(t)
	s.SMTP, s.Weekly = box.address, []topology.WeeklyReport{{Dashboard: "executive-kpis", To: []string{"emma"}}}
	monday := time.Date(2026, 11, 23, topology.WeeklyHour, 1, 0, 0, time.UTC)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	count := func(want int, when string) {
		t.Helper()
		if got := len(box.taken()); got != want {
			t.Fatalf("%s: %d mails, want %d", when, got, want)
		}
	}
	must(s.mailDue(t.Context(), monday.Add(-time.Hour)))
	count(0, "at the first start")
	must(s.mailDue(t.Context(), monday))
	count(1, "on Monday")
	must(s.mailDue(t.Context(), monday.Add(time.Hour)))
	count(1, "an hour later")
	mail := box.taken()[0]
	for _, part := range []string{"RCPT TO:<emma@datameesh.example>", "Subject: Executive KPIs, 23 November 2026", "text/plain", "Revenue, 7 days: $1,234.50", "application/pdf", "executive-kpis-2026-11-23.pdf"} {
		if !strings.Contains(mail, part) {
			t.Errorf("the mail lacks %s", part)
		}
	}
	// Nobody takes mail: it is said, and tried again.
	s.SMTP = "127.0.0.1:1"
	if err := s.mailDue(t.Context(), monday.AddDate(0, 0, 7)); err == nil {
		t.Error("no error without a mailbox")
	}
	s.SMTP = box.address
	must(s.mailDue(t.Context(), monday.AddDate(0, 0, 7).Add(5*time.Minute)))
	count(2, "when the mailbox is back")
	// After a week's pause only what is not too late.
	must(s.mailDue(t.Context(), monday.AddDate(0, 0, 16)))
	count(2, "two days late")
	var mailed map[string]time.Time
	text, err := os.ReadFile(filepath.Join(s.State, "weekly.json"))
	must(err)
	must(json.Unmarshal(text, &mailed))
	if got := mailed["executive-kpis"]; !got.Equal(due(monday.AddDate(0, 0, 16))) {
		t.Errorf("noted %v", got)
	}
	// Nobody is mailed what they may not read.
	s.Weekly = []topology.WeeklyReport{{Dashboard: "mesh-health", To: []string{"emma"}}}
	if err := s.mailDue(t.Context(), monday.AddDate(0, 0, 21)); err == nil || !strings.Contains(err.Error(), "emma does not read it") {
		t.Errorf("%v", err)
	}
	// Who has left is mailed nothing, and keeps nobody else from theirs.
	s.Weekly = []topology.WeeklyReport{{Dashboard: "executive-kpis", To: []string{"gone", "emma"}}, {Dashboard: "sales-performance", To: []string{"gone"}}}
	must(s.mailDue(t.Context(), monday.AddDate(0, 0, 21)))
	count(3, "with one who left")
	if mail := box.taken()[2]; strings.Contains(mail, "gone@") || !strings.Contains(mail, "RCPT TO:<emma@") {
		t.Error("the mail is not emma's alone")
	}
	// A database that is away is not mailed as an empty report.
	s.Weekly = []topology.WeeklyReport{{Dashboard: "executive-kpis", To: []string{"emma"}}}
	s.set.Sources["marts"] = &database{err: &refused{}}
	if err := s.mailDue(t.Context(), monday.AddDate(0, 0, 28)); err == nil || !strings.Contains(err.Error(), "can be reached") {
		t.Errorf("%v", err)
	}
	count(3, "without a database")
}

// Those whom the topology mails may read what they get.
func TestWeeklyReportsAreReadable(t *testing.T) {
	_, s := serve(t, figures())
	box := newPost(t)
	s.SMTP, s.Weekly = box.address, topology.WeeklyReports
	if len(s.Weekly) == 0 {
		t.Fatal("no reports")
	}
	for _, w := range s.Weekly {
		if err := s.mailOne(t.Context(), w, time.Now()); err != nil {
			t.Error(err)
		}
	}
	if len(box.taken()) != len(s.Weekly) {
		t.Errorf("%d mails of %d", len(box.taken()), len(s.Weekly))
	}
}
