package audit

import (
	"bufio"
	"crypto/hmac"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A Filter says which events are searched; an empty field matches all.
type Filter struct {
	Who, Tool, Action, Outcome string // exactly
	Object                     string // part of the object or detail, whatever the case
	Since, Until               time.Time
}

func (f Filter) matches(e Event) bool {
	switch {
	case f.Who != "" && e.Who != f.Who, f.Tool != "" && e.Tool != f.Tool,
		f.Action != "" && e.Action != f.Action, f.Outcome != "" && e.Outcome != f.Outcome:
		return false
	case !f.Since.IsZero() && e.At.Before(f.Since), !f.Until.IsZero() && !e.At.Before(f.Until):
		return false
	}
	return f.Object == "" || strings.Contains(strings.ToLower(e.Object+"\n"+e.Detail), strings.ToLower(f.Object))
}

// Searched is what a search went through.
type Searched struct {
	Looked  int64  // events that were looked at
	Files   int    // that the record has
	Damaged int64  // lines that are no events, and were left out
	First   string // where the first of these is
}

// Search calls see with each event of the record that the filter matches, in
// the order in which they were kept. It needs no key and no running mesh-audit.
// A damaged line is counted and left out: Verify finds it for ever, and what
// stands before and after it is to be found too.
func Search(dir string, f Filter, see func(Entry) error) (s Searched, err error) {
	all, err := recordFiles(dir)
	if err != nil {
		return s, fmt.Errorf("search the audit record: %w", err)
	}
	s.Files = len(all)
	since := f.Since.UTC().Format(time.DateOnly)
	for _, file := range all {
		// An event is never kept before it happens, but for a clock that was
		// set back.
		if file.day < since {
			continue
		}
		line := 0
		err := eachLine(filepath.Join(dir, file.name), func(text []byte) error {
			line++
			entry, _, _, err := parse(text)
			if err != nil {
				if s.Damaged++; s.First == "" {
					s.First = fmt.Sprintf("%s, line %d: %v", file.name, line, err)
				}
				return nil //nolint:nilerr // it is counted
			}
			s.Looked++
			if !f.matches(entry.Event) {
				return nil
			}
			return see(entry)
		})
		if errors.Is(err, fs.ErrNotExist) {
			continue // dropped meanwhile
		}
		if err != nil {
			return s, fmt.Errorf("search the audit record: %s: %w", file.name, err)
		}
	}
	return s, nil
}

// eachLine calls see with each whole line of a file; what comes after the last
// one is being written.
func eachLine(path string, see func([]byte) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	lines := bufio.NewReaderSize(f, 64<<10)
	for {
		text, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := see(text); err != nil {
			return err
		}
	}
}

// A Head names the last entry of a record: its number and code. Who keeps it
// elsewhere can tell later that the record was not cut off behind it.
type Head struct {
	Seq  int64
	Code string
}

func (h Head) String() string { return fmt.Sprintf("%d:%s", h.Seq, h.Code) }

// ParseHead reads what Head.String wrote.
func ParseHead(s string) (h Head, err error) {
	number, code, ok := strings.Cut(s, ":")
	if _, err := fmt.Sscan(number, &h.Seq); err != nil || !ok || code == "" || h.Seq < 1 {
		return Head{}, fmt.Errorf("%q is not NUMBER:CODE as verify prints it", s)
	}
	h.Code = code
	return h, nil
}

// Verify reads the whole record and says where it was changed: an error names
// the first line whose code is not right, or whose number does not follow. The
// first line that is there is believed to follow what was dropped. noted must
// be among the lines; the zero Head is not looked for. It returns the last line's head
// and the number of lines.
func Verify(dir string, key []byte, noted Head) (last Head, lines int64, err error) {
	files, err := recordFiles(dir)
	if err != nil {
		return Head{}, 0, fmt.Errorf("verify the audit record: %w", err)
	}
	found := noted.Seq == 0
	for _, file := range files {
		at := 0
		err := eachLine(filepath.Join(dir, file.name), func(text []byte) error {
			at++
			entry, mac, body, err := parse(text)
			if err != nil {
				return err
			}
			switch {
			case lines > 0 && entry.Seq != last.Seq+1:
				return fmt.Errorf("number %d follows number %d: lines were removed, added or moved", entry.Seq, last.Seq)
			case (lines > 0 || entry.Seq == 1) && !hmac.Equal([]byte(mac), []byte(code(key, last.Code, body))):
				return fmt.Errorf("number %d is not as it was written, or not with this key", entry.Seq)
			}
			if entry.Seq == noted.Seq {
				if noted.Code != mac {
					return fmt.Errorf("number %d has another code than was noted", entry.Seq)
				}
				found = true
			}
			last = Head{entry.Seq, mac}
			lines++
			return nil
		})
		if err != nil {
			return last, lines, fmt.Errorf("%s, line %d: %w", file.name, at, err)
		}
	}
	if !found {
		return last, lines, fmt.Errorf("number %d, which was noted, is not in the record: it was cut off, or dropped for its age", noted.Seq)
	}
	return last, lines, nil
}
