package postgres

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/internal/pgtest"
	"github.com/datameesh/datameesh/services/marketing"
	"github.com/datameesh/datameesh/services/marketing/migrations"
)

var schema = pgtest.Schema{Owner: "marketing_owner", App: "marketing_app", Migrations: migrations.Files}

func newStore(t *testing.T) (*Store, pgtest.Database) {
	t.Helper()
	t.Parallel()
	db := pgtest.New(t, schema)
	pool, err := database.Open(t.Context(), db.URL("marketing_app"), "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return New(pool), db
}

func newCampaign(t *testing.T, store *Store, name string) int64 {
	t.Helper()
	c, err := store.CreateCampaign(t.Context(), marketing.NewCampaign{Name: name, Channel: "Email", StartsOn: "2026-01-01"})
	if err != nil {
		t.Fatal(err)
	}
	return c.ID
}

// While a campaign is renamed again and again, leads of it come in one by one
// and in batches: none is refused, and all bear the last name in the end.
func TestLeadsComeInWhileTheirCampaignIsRenamed(t *testing.T) {
	store, db := newStore(t)
	ctx := t.Context()
	id := newCampaign(t, store, "name 0")
	lead := marketing.NewLead{Email: "a@example.com", FullName: "A", Source: "Event", CampaignID: id}

	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for range 25 {
				if _, err := store.CreateLead(ctx, lead); err != nil {
					t.Errorf("one: %v", err)
				}
				if _, err := store.CreateLeads(ctx, []marketing.NewLead{lead, lead, lead}); err != nil {
					t.Errorf("batch: %v", err)
				}
			}
		})
	}
	writers.Go(func() {
		for i := range 50 {
			_, err := store.UpdateCampaign(ctx, id, func(c *marketing.Campaign) error {
				c.Name = fmt.Sprintf("name %d", i+1)
				return nil
			})
			if err != nil {
				t.Errorf("rename: %v", err)
			}
		}
	})
	writers.Wait()
	var leads, named int
	err := db.Connect(t, "marketing_owner").QueryRow(ctx, `SELECT count(*), count(*) FILTER (WHERE campaign_name = 'name 50') FROM leads`).Scan(&leads, &named)
	if err != nil || leads != 400 || named != 400 {
		t.Errorf("%d leads, %d with the campaign's name, want 400; error %v", leads, named, err)
	}
}

func TestABatchIsAllOrNone(t *testing.T) {
	store, _ := newStore(t)
	id := newCampaign(t, store, "A")
	lead := marketing.NewLead{Email: "a@example.com", FullName: "A", Source: "Event", CampaignID: id}
	stray := lead
	stray.CampaignID = 77
	_, err := store.CreateLeads(t.Context(), []marketing.NewLead{lead, stray, lead})
	var unknown marketing.UnknownCampaigns
	if !errors.As(err, &unknown) || !slices.Equal(unknown, []int64{77}) || !errors.Is(err, marketing.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if list, err := store.Leads(t.Context(), marketing.LeadFilter{Limit: 9}); err != nil || len(list) != 0 {
		t.Errorf("%d leads are stored, error %v", len(list), err)
	}
}

// Of two status changes at once the second sees what the first did.
func TestOneLeadConvertsOnce(t *testing.T) {
	store, _ := newStore(t)
	ctx := t.Context()
	lead, err := store.CreateLead(ctx, marketing.NewLead{Email: "a@b", FullName: "A", Source: "Event", CampaignID: newCampaign(t, store, "A")})
	if err != nil {
		t.Fatal(err)
	}
	var converted, lost int
	var mu sync.Mutex
	var writers sync.WaitGroup
	for i := range 20 {
		writers.Go(func() {
			status := []marketing.LeadStatus{marketing.Converted, marketing.Lost}[i%2]
			after, err := store.UpdateLead(ctx, lead.ID, marketing.StatusChange{Status: status}.Apply)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && after.Status == marketing.Converted && after.ConvertedAt != nil:
				converted++
			case err == nil && after.Status == marketing.Lost && after.ConvertedAt == nil:
				lost++
			case !errors.Is(err, marketing.ErrConflict):
				t.Errorf("to %s: %+v, error %v", status, after, err)
			}
		})
	}
	writers.Wait()
	if converted != 0 && converted != 10 || lost != 0 && lost != 10 || converted+lost != 10 {
		t.Errorf("%d conversions and %d losses were accepted, want ten of one kind", converted, lost)
	}
}

func TestALeadFromTheFutureCanConvert(t *testing.T) {
	store, db := newStore(t)
	ctx := t.Context()
	newCampaign(t, store, "A")
	if _, err := db.Connect(t, "marketing_owner").Exec(ctx, `INSERT INTO leads (email, full_name, source, campaign_id, campaign_name, created_at) VALUES ('a@b', 'A', 'Event', 1, 'A', now() + interval '1 year')`); err != nil {
		t.Fatal(err)
	}
	lead, err := store.UpdateLead(ctx, 1, marketing.StatusChange{Status: marketing.Converted}.Apply)
	if err != nil || lead.ConvertedAt == nil || !lead.ConvertedAt.Equal(lead.CreatedAt) {
		t.Errorf("got %+v, error %v", lead, err)
	}
}

func TestWritesTouch(t *testing.T) {
	store, db := newStore(t)
	ctx := t.Context()
	owner := db.Connect(t, "marketing_owner")
	if _, err := owner.Exec(ctx, `
		INSERT INTO mesh_meta (as_of, seed, scale, row_counts, state) VALUES ('2026-11-23', 1, 'small', '{}', 'seeded');
		INSERT INTO campaigns (campaign_name, channel, budget, starts_on) VALUES ('A', 'Email', 1, '2026-01-01');
		INSERT INTO leads (email, full_name, source, campaign_id, campaign_name) VALUES ('a@b', 'A', 'Event', 1, 'A')`); err != nil {
		t.Fatal(err)
	}
	// touched says whether mesh_meta was touched, and makes it untouched again.
	touched := func() (yes bool) {
		t.Helper()
		if err := owner.QueryRow(ctx, `SELECT touched FROM mesh_meta`).Scan(&yes); err != nil {
			t.Fatal(err)
		}
		if _, err := owner.Exec(ctx, `UPDATE mesh_meta SET touched = false`); err != nil {
			t.Fatal(err)
		}
		return yes
	}
	lead := marketing.NewLead{Email: "a@b", FullName: "A", Source: "Event", CampaignID: 1}
	stray := marketing.NewLead{Email: "a@b", FullName: "A", Source: "Event", CampaignID: 9}
	for _, c := range []struct {
		name string
		do   func() error
		want bool
	}{
		{"list leads", func() error { _, err := store.Leads(ctx, marketing.LeadFilter{Limit: 1}); return err }, false},
		{"list campaigns", func() error { _, err := store.Campaigns(ctx, marketing.CampaignFilter{Limit: 1}); return err }, false},
		{"refused lead", func() error { return refused(store.CreateLead(ctx, stray)) }, false},
		{"refused batch", func() error { return refused(store.CreateLeads(ctx, []marketing.NewLead{lead, stray})) }, false},
		{"no change", func() error {
			_, err := store.UpdateLead(ctx, 1, marketing.StatusChange{Status: marketing.New}.Apply)
			return err
		}, false},
		{"lead", func() error { _, err := store.CreateLead(ctx, lead); return err }, true},
		{"batch", func() error { _, err := store.CreateLeads(ctx, []marketing.NewLead{lead}); return err }, true},
		{"status", func() error {
			_, err := store.UpdateLead(ctx, 1, marketing.StatusChange{Status: marketing.Lost}.Apply)
			return err
		}, true},
		{"campaign", func() error { newCampaign(t, store, "B"); return nil }, true},
		{"campaign change", func() error {
			_, err := store.UpdateCampaign(ctx, 1, func(c *marketing.Campaign) error { c.Spend = 5; return nil })
			return err
		}, true},
	} {
		if err := c.do(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := touched(); got != c.want {
			t.Errorf("%s: touched %v, want %v", c.name, got, c.want)
		}
	}
}

// refused turns an expected ErrNotFound into nil.
func refused[T any](_ T, err error) error {
	if errors.Is(err, marketing.ErrNotFound) {
		return nil
	}
	return fmt.Errorf("not refused: %w", err)
}

func TestUnreachableDatabaseIsUnavailable(t *testing.T) {
	t.Parallel()
	pool, err := database.Open(t.Context(), "postgres://nobody@127.0.0.1:1/none?sslmode=disable", "test")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	store := New(pool)
	_, getErr := store.Lead(t.Context(), 1)
	_, putErr := store.CreateLead(t.Context(), marketing.NewLead{CampaignID: 1})
	_, batchErr := store.CreateLeads(t.Context(), []marketing.NewLead{{CampaignID: 1}})
	for _, err := range []error{getErr, putErr, batchErr, store.Ready(t.Context())} {
		if !errors.Is(err, marketing.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
}
