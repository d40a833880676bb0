package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

// trinoEvent is what Trino's http-event-listener posts when a query has ended:
// io.trino.spi.eventlistener.QueryCompletedEvent of Trino 476, as far as it is
// kept.
type trinoEvent struct {
	Context struct {
		User      string  `json:"user"`
		Principal *string `json:"principal"`
		Source    *string `json:"source"`
		Address   *string `json:"remoteClientAddress"`
	} `json:"context"`
	Metadata struct {
		QueryID    string  `json:"queryId"`
		Query      string  `json:"query"`
		State      string  `json:"queryState"`
		UpdateType *string `json:"updateType"`
		Tables     []struct {
			Catalog  string `json:"catalog"`
			Schema   string `json:"schema"`
			Table    string `json:"table"`
			Directly bool   `json:"directlyReferenced"`
		} `json:"tables"`
	} `json:"metadata"`
	Output struct {
		Output *struct {
			Catalog string `json:"catalogName"`
			Schema  string `json:"schema"`
			Table   string `json:"table"`
		} `json:"output"`
	} `json:"ioMetadata"`
	Statistics struct {
		Wall float64 `json:"wallTime"` // seconds
		Rows int64   `json:"outputRows"`
	} `json:"statistics"`
	Failure *struct {
		Code struct {
			Name string `json:"name"`
		} `json:"errorCode"`
		Message *string `json:"failureMessage"`
	} `json:"failureInfo"`
	Created time.Time `json:"createTime"`
	Ended   time.Time `json:"endTime"`
}

// unsent is what Trino logs of an event that it could not make, or has given up
// sending: the number of the attempt is then the last.
var unsent = regexp.MustCompile(`^(\S+)\t(?:WARN|ERROR)\t[^\t]*\tio\.trino\.[^\t]*\t(?:Failed to publish QueryCompletedEvent for query (\S+)|QueryId = "([^"]+)", attempt = (\d+)/(\d+).*)`)

// unsentEvents tells of the queries that Trino's log says were not told of.
func unsentEvents(text []byte) (events []Event) {
	for l := range bytes.Lines(text) {
		m := unsent.FindSubmatch(bytes.TrimRight(l, "\n"))
		if m == nil || len(m[3]) > 0 && string(m[4]) != string(m[5]) {
			continue
		}
		id := string(m[2]) + string(m[3])
		at, err := time.Parse(time.RFC3339, string(m[1]))
		if err != nil {
			continue
		}
		events = append(events, Event{At: at, Who: "mesh-audit", Tool: ToolAudit, Action: "gap", Object: "trino query " + id, Outcome: Failed,
			Detail: "Trino could not tell of this query; its log says why", ID: "trino-gap/" + id})
	}
	return events
}

// refusedLogIn is what the plugin in platform/trino/java logs of a password that
// was refused, or not even looked at. Its numbers begin again with each start.
var refusedLogIn = regexp.MustCompile(`^(\S+)\tWARN\t[^\t]*\tThrottledPasswords\tRefused log-in (\d+) of (\S+): (.+)$`)

// refusedLogIns tells of the log-ins that Trino's log says were refused.
func refusedLogIns(text []byte) (events []Event) {
	for l := range bytes.Lines(text) {
		m := refusedLogIn.FindSubmatch(bytes.TrimRight(l, "\n"))
		if m == nil {
			continue
		}
		at, err := time.Parse(time.RFC3339, string(m[1]))
		if err != nil {
			continue
		}
		events = append(events, Event{At: at, Who: string(m[3]), Tool: ToolTrino, Action: "login", Outcome: Refused,
			Detail: string(m[4]), ID: fmt.Sprintf("trino-login/%s/%s", m[1], m[2])})
	}
	return events
}

// notUnderstood are Trino's errors of a statement whose words may be anything.
var notUnderstood = []string{"SYNTAX_ERROR", "COLUMN_NOT_FOUND", "CATALOG_NOT_FOUND", "SCHEMA_NOT_FOUND", "TABLE_NOT_FOUND", "FUNCTION_NOT_FOUND", "TYPE_NOT_FOUND"}

// fromTrino reads one event of Trino's. The message of an error is kept only
// where access was denied: others repeat values.
func fromTrino(r io.Reader) (Event, error) {
	var t trinoEvent
	if err := json.NewDecoder(r).Decode(&t); err != nil {
		return Event{}, fmt.Errorf("an event of Trino: %w", err)
	}
	if t.Metadata.QueryID == "" || t.Context.User == "" {
		return Event{}, fmt.Errorf("an event of Trino without queryId or user: is it QueryCompletedEvent?")
	}
	e := Event{At: t.Ended, Who: t.Context.User, Tool: ToolTrino, Action: "query", Outcome: OK, ID: "trino/" + t.Metadata.QueryID}
	if e.At.IsZero() {
		e.At = t.Created
	}
	var detail []string
	// Whoever is refused as somebody else has asked as that user.
	if p := t.Context.Principal; p != nil && *p != "" && *p != t.Context.User {
		e.Who = *p
		detail = append(detail, "as "+t.Context.User)
	}
	if t.Context.Address != nil {
		e.From = *t.Context.Address
	}
	if u := t.Metadata.UpdateType; u != nil && *u != "" {
		e.Action = strings.ToLower(strings.ReplaceAll(*u, " ", "-"))
	}
	var objects []string
	add := func(catalog, schema, table string) {
		if name := catalog + "." + schema + "." + table; !slices.Contains(objects, name) {
			objects = append(objects, name)
		}
	}
	if o := t.Output.Output; o != nil {
		add(o.Catalog, o.Schema, o.Table)
	}
	for _, table := range t.Metadata.Tables {
		add(table.Catalog, table.Schema, table.Table)
	}
	e.Object = strings.Join(objects, ", ")
	statement := normalise(t.Metadata.Query)
	if f := t.Failure; f != nil {
		e.Outcome = Failed
		reason := f.Code.Name
		if f.Code.Name == "PERMISSION_DENIED" {
			e.Outcome = Refused
			if f.Message != nil {
				reason += ": " + normalise(*f.Message)
			}
		}
		if slices.Contains(notUnderstood, f.Code.Name) {
			statement = ""
		}
		detail = append(detail, reason)
	} else {
		detail = append(detail, fmt.Sprintf("%d rows in %.3f s", t.Statistics.Rows, t.Statistics.Wall))
	}
	if s := t.Context.Source; s != nil && *s != "" {
		detail = append(detail, "by "+*s)
	}
	if statement != "" {
		detail = append(detail, statement)
	}
	e.Detail = strings.Join(detail, "; ")
	return e, nil
}
