package viewer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/datameesh/datameesh/platform/render"
	"github.com/datameesh/datameesh/platform/report"
	"github.com/datameesh/datameesh/platform/topology"
)

// look is how often it is checked whether a report is due; a mail that failed is
// tried again then.
const look = 5 * time.Minute

// due is the moment of the last Monday's reports before now.
func due(now time.Time) time.Time {
	now = now.UTC()
	back := (int(now.Weekday()) + 6) % 7 // days since Monday
	at := time.Date(now.Year(), now.Month(), now.Day()-back, topology.WeeklyHour, 0, 0, 0, time.UTC)
	if at.After(now) {
		at = at.AddDate(0, 0, -7)
	}
	return at
}

// mailWeekly mails the reports while the viewer runs. What was due while it did not
// run is made up for within a day; a mesh that is started for the first time mails
// from the next Monday on.
func (s *server) mailWeekly(ctx context.Context) {
	if s.SMTP == "" || len(s.Weekly) == 0 {
		return
	}
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		if err := s.mailDue(ctx, time.Now()); err != nil && ctx.Err() == nil {
			s.log.Error("weekly reports", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// late is how long after its moment a report is still made.
const late = 24 * time.Hour

// mailDue mails what is due and was not mailed yet.
func (s *server) mailDue(ctx context.Context, now time.Time) error {
	file := filepath.Join(s.State, "weekly.json")
	mailed := map[string]time.Time{} // by dashboard, the moment it was due
	text, err := os.ReadFile(file)
	first := errors.Is(err, fs.ErrNotExist)
	switch {
	case first:
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(text, &mailed); err != nil {
			return fmt.Errorf("%s: %w; remove it to begin anew", file, err)
		}
	}
	at := due(now)
	var problems []error
	for _, w := range s.Weekly {
		if !mailed[w.Dashboard].Before(at) {
			continue
		}
		if first || now.Sub(at) > late {
			mailed[w.Dashboard] = at
			continue
		}
		if err := s.mailOne(ctx, w, now); err != nil {
			problems = append(problems, err)
			continue
		}
		mailed[w.Dashboard] = at
	}
	text, err = json.Marshal(mailed)
	if err != nil {
		return err
	}
	next := file + ".next"
	if err := os.WriteFile(next, text, 0o600); err != nil {
		return errors.Join(append(problems, err)...)
	}
	return errors.Join(append(problems, os.Rename(next, file))...)
}

// mailOne mails a report to those who may read it.
func (s *server) mailOne(ctx context.Context, w topology.WeeklyReport, now time.Time) error {
	i := slices.IndexFunc(s.Dashboards, func(d render.Dashboard) bool { return d.UID == w.Dashboard })
	if i < 0 {
		return fmt.Errorf("weekly report %s: no such dashboard", w.Dashboard)
	}
	d := s.Dashboards[i]
	var to []string
	for _, name := range w.To {
		p, err := s.door.member(name)
		switch {
		case err != nil:
			return fmt.Errorf("weekly report %s: %w", w.Dashboard, err)
		case p == nil: // no fault: who is mailed stands in the topology, and people may leave
			s.log.Warn("weekly report: there is no such person any more", "dashboard", w.Dashboard, "name", name)
			continue
		case !reads(p.Person, d):
			return fmt.Errorf("weekly report %s: %s does not read it", w.Dashboard, name)
		}
		to = append(to, name+"@"+topology.MailDomain)
	}
	if len(to) == 0 {
		return nil
	}
	page, err := s.set.Open(ctx, d, report.Request{}, now)
	if err != nil {
		return err
	}
	if !page.Reached() {
		return fmt.Errorf("weekly report %s: %w", w.Dashboard, report.ErrUnreachable)
	}
	if err := page.Mail(ctx, s.SMTP, report.Sender, to); err != nil {
		return err
	}
	s.log.Info("weekly report mailed", "dashboard", w.Dashboard, "to", to)
	return nil
}
