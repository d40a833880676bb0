package audit

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A ServerLog is the log that a PostgreSQL server writes with log_line_prefix
// LinePrefix and log_timezone UTC. People's roles have
// log_min_duration_statement=0 there, so each of their statements is logged
// once, when it has ended.
type ServerLog struct {
	Server string `json:"server"` // component name
	File   string `json:"file"`
	// Roles are those of the mesh's own programs, whose statements are no
	// person's; that they were refused is an event all the same.
	Roles []string `json:"roles"`
}

// LinePrefix is the log_line_prefix that a ServerLog is read by. What a session
// does (%i) stands before the names: those are what a client says, and somebody
// without a password could else write a line that looks like a statement.
const LinePrefix = "%m [%p] <%i> %u@%d "

// A logReader makes events of what a server's log says. Lines follow each other
// as the server wrote them, but those of several processes alternate.
type logReader struct {
	server  string
	roles   []string
	message *logMessage           // that further lines may belong to
	errors  map[string]logMessage // by process: an error whose statement may follow
	skip    int                   // further bytes that are not believed
	gap     gap
	at      position // of what comes next
}

func newLogReader(l ServerLog, at position) *logReader {
	return &logReader{server: l.Server, roles: l.Roles, errors: map[string]logMessage{}, at: at}
}

// A gap is what was not believed, in one piece. A name with a line break began it.
type gap struct {
	name, begin, bytes int64 // where the name and the gap begin, how long it is
	at                 time.Time
}

// done is where a reader that knows nothing has to begin.
func (r *logReader) done() position {
	p := r.at
	if r.message != nil {
		p.Offset = r.message.begin
	}
	for _, m := range r.errors {
		p.Offset = min(p.Offset, m.begin)
	}
	if r.skip > 0 || r.gap.bytes > 0 {
		p.Offset = min(p.Offset, r.gap.name)
	}
	return p
}

// A logMessage is one message of a server's log.
type logMessage struct {
	at             time.Time
	pid, doing     string
	user, database string
	severity, text string
	begin          int64 // in the log
}

var (
	logBegin = regexp.MustCompile(`^(\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d{3}) UTC \[(\d+)\] <`)
	logHead  = regexp.MustCompile(`^(\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d{3}) UTC \[(\d+)\] <([^>]*)> ([^@]*)@(.*?) (LOG|ERROR|FATAL|PANIC|WARNING|NOTICE|INFO|DEBUG[1-5]?|DETAIL|HINT|QUERY|CONTEXT|LOCATION|STATEMENT):  ?(.*)$`)
	// duration: 0.123 ms  statement: SELECT 1, or execute NAME: SELECT $1
	logStatement = regexp.MustCompile(`(?s)^(?:duration: ([0-9.]+) ms  )?(statement|execute [^:]*): (.*)$`)
)

// forged is more than what somebody without a password can put into the log
// beyond the line that names them: PostgreSQL writes user and database as the
// client sends them, with line breaks, cut at 63 bytes each.
const forged = 200

// line takes the next line, without its end.
func (r *logReader) line(text string) (events []Event) {
	m := logHead.FindStringSubmatch(text)
	broken := m == nil && logBegin.MatchString(text)
	if r.skip > 0 && !broken {
		r.skip -= len(text) + 1
		r.unbelieved(text)
		return nil
	}
	switch {
	case m != nil:
		events = append(r.endGap(), r.flush()...)
		at, err := time.ParseInLocation("2006-01-02 15:04:05.000", m[1], time.UTC)
		if err != nil {
			return append(events, r.unreadable(time.Time{}))
		}
		r.message = &logMessage{at, m[2], m[3], m[4], m[5], m[6], m[7], r.at.Offset}
	case broken:
		// A name with a line break: what comes next may be of its making.
		events = r.flush()
		if r.skip > 0 { // the same again, before the message's detail
			r.skip = forged
			r.unbelieved(text)
			return events
		}
		at, err := time.ParseInLocation("2006-01-02 15:04:05.000", text[:23], time.UTC)
		if err != nil {
			at = time.Time{} // the record puts in its own
		}
		if r.gap.bytes == 0 {
			r.gap = gap{name: r.at.Offset, at: at}
		}
		r.skip = forged
		events = append(events, r.unreadable(at))
	case r.gap.bytes > 0: // goes on with a line that was not believed
		r.unbelieved(text)
	case r.message != nil && strings.HasPrefix(text, "\t"):
		if len(r.message.text) < 64<<10 {
			r.message.text += "\n" + text[1:]
		}
	}
	return events
}

func (r *logReader) unbelieved(text string) {
	if r.gap.bytes == 0 {
		r.gap.begin = r.at.Offset
	}
	r.gap.bytes += int64(len(text)) + 1
}

// endGap tells what was not believed: real statements may be among it, and who looks at
// the log itself finds them there.
func (r *logReader) endGap() []Event {
	g := r.gap
	r.skip, r.gap = 0, gap{}
	if g.bytes == 0 {
		return nil
	}
	return []Event{{At: g.at, Who: "mesh-audit", Tool: ToolAudit, Action: "gap", Object: r.server, Outcome: Failed,
		Detail: fmt.Sprintf("%d bytes of the log, from byte %d on, follow a name with a line break: they may be of its making and are not kept", g.bytes, g.begin), ID: r.id(g.begin, "gap")}}
}

func (r *logReader) unreadable(at time.Time) Event {
	return Event{At: at, Who: "unknown", Tool: ToolPostgreSQL, Action: "login", Object: r.server, Outcome: Refused, Detail: "a name with a line break", ID: r.id(r.at.Offset, "name")}
}

// flush ends the message that is being read.
func (r *logReader) flush() (events []Event) {
	m := r.message
	if m == nil {
		return nil
	}
	r.message = nil
	if before, ok := r.errors[m.pid]; ok {
		switch m.severity {
		case "DETAIL", "HINT", "CONTEXT", "QUERY", "LOCATION":
			return nil // what they say may hold values
		case "STATEMENT":
			delete(r.errors, m.pid)
			return r.failed(before, m.text)
		}
		delete(r.errors, m.pid)
		events = r.failed(before, "")
	}
	switch {
	case m.severity == "FATAL":
		events = append(events, r.login(*m)...)
	case slices.Contains(comingIn, m.doing): // the names are what it says
		if strings.Contains(m.text, " FATAL:  ") {
			events = append(events, Event{At: m.at, Who: m.user, Tool: ToolPostgreSQL, Action: "login", Object: r.server, Outcome: Refused, Detail: "a name that looks like a message"})
		}
	case m.severity == "ERROR":
		if r.person(m.user) {
			r.errors[m.pid] = *m
		}
	case m.severity == "LOG":
		events = append(events, r.statement(*m)...)
	}
	return events
}

// comingIn is what a session does before it has shown its password and found its database.
var comingIn = []string{"", "initializing", "authentication", "startup"}

// person tells whether a role is none of the mesh's own. Processes of the
// server have no role.
func (r *logReader) person(role string) bool {
	return role != "" && role != "[unknown]" && !slices.Contains(r.roles, role)
}

func (r *logReader) object(m logMessage) string { return r.server + "/" + m.database }

func (r *logReader) statement(m logMessage) []Event {
	s := logStatement.FindStringSubmatch(m.text)
	if s == nil || !r.person(m.user) {
		return nil
	}
	detail := normalise(s[3])
	if s[1] != "" {
		detail = s[1] + " ms; " + detail
	}
	return []Event{{At: m.at, Who: m.user, Tool: ToolPostgreSQL, Action: "query", Object: r.object(m), Outcome: OK, Detail: detail}}
}

// failed is a statement that ended in an error. Its text is kept only when it
// was understood: the words of others may be anything.
func (r *logReader) failed(m logMessage, statement string) []Event {
	e := Event{At: m.at, Who: m.user, Tool: ToolPostgreSQL, Action: "query", Object: r.object(m), Outcome: Failed, Detail: "error"}
	switch {
	case strings.HasPrefix(m.text, "permission denied"), strings.HasPrefix(m.text, "must be owner"),
		strings.HasPrefix(m.text, "cannot execute"), strings.Contains(m.text, "row-level security"):
		e.Outcome = Refused
		e.Detail = normalise(m.text) + "; " + normalise(statement)
	case strings.HasPrefix(m.text, "canceling statement"):
		e.Detail = normalise(m.text) + "; " + normalise(statement)
	}
	return []Event{e}
}

// refusals are how PostgreSQL says that somebody may not come in.
var refusals = []string{"password authentication failed", "no pg_hba.conf entry", "pg_hba.conf rejects", "permission denied for database", "too many connections",
	"SCRAM authentication", "expected password response", "unsupported frontend protocol", "sorry, too many clients", "remaining connection slots", "no PostgreSQL user name"}

func (r *logReader) login(m logMessage) []Event {
	i := slices.IndexFunc(refusals, func(s string) bool { return strings.HasPrefix(m.text, s) })
	if i < 0 && !strings.HasSuffix(m.text, "does not exist") && !strings.HasSuffix(m.text, "is not permitted to log in") {
		return nil // a session that was ended, and the like
	}
	detail := "no such database or role"
	if i >= 0 {
		detail = refusals[i]
	}
	return []Event{{At: m.at, Who: m.user, Tool: ToolPostgreSQL, Action: "login", Object: r.object(m), Outcome: Refused, Detail: detail}}
}

// follow returns the events of what was appended to the log since the last call.
func (r *logReader) follow(file string) (events []Event, err error) {
	text, replaced, err := r.at.read(file)
	if err != nil {
		return nil, fmt.Errorf("read the log of %s: %w", r.server, err)
	}
	if replaced != nil {
		events = append(r.rest(), *replaced)
	}
	if len(text) == 0 {
		return append(events, r.rest()...), nil // nothing follows what came last
	}
	for n := range bytes.Lines(text) {
		events = append(events, r.identified(r.line(strings.ToValidUTF8(strings.TrimSuffix(string(n), "\n"), "?")))...)
		r.at.Offset += int64(len(n))
	}
	return events, nil
}

// rest ends what was begun. A message is written at once: nothing that follows later is
// of a name's making.
func (r *logReader) rest() (events []Event) {
	events = append(r.endGap(), r.flush()...)
	for _, pid := range slices.Sorted(maps.Keys(r.errors)) {
		events = append(events, r.failed(r.errors[pid], "")...)
		delete(r.errors, pid)
	}
	return r.identified(events)
}

// identified gives events the place in the log as ID: read again, they are kept once. Those
// that have one stand for a place of their own, whatever is told beside them.
func (r *logReader) identified(events []Event) []Event {
	for i := range events {
		if events[i].ID == "" {
			events[i].ID = r.id(r.at.Offset, fmt.Sprintf("%d/%s", i, events[i].Action))
		}
	}
	return events
}

func (r *logReader) id(offset int64, what string) string {
	return fmt.Sprintf("%s/%d/%d/%s", r.server, r.at.Inode, offset, what)
}
