// Package marketing is the marketing domain: campaigns, the leads they bring.
package marketing

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Errors of the store, wrapped with context.
var (
	ErrNotFound    = errors.New("not found")
	ErrConflict    = errors.New("conflict")
	ErrUnavailable = errors.New("store unavailable")
)

// UnknownCampaigns is an ErrNotFound that names the ids which no campaign has.
type UnknownCampaigns []int64

// Error makes UnknownCampaigns an error.
func (u UnknownCampaigns) Error() string {
	return fmt.Sprintf("no campaign has the ids %v", []int64(u))
}

// Is makes UnknownCampaigns an ErrNotFound.
func (u UnknownCampaigns) Is(target error) bool { return target == ErrNotFound }

// A Store keeps campaigns and leads.
type Store interface {
	CreateCampaign(context.Context, NewCampaign) (Campaign, error) // ErrConflict: name known
	Campaign(ctx context.Context, id int64) (Campaign, error)
	Campaigns(context.Context, CampaignFilter) ([]Campaign, error)
	// UpdateCampaign lets change change the campaign, which nobody else changes meanwhile.
	UpdateCampaign(ctx context.Context, id int64, change func(*Campaign) error) (Campaign, error)

	CreateLead(context.Context, NewLead) (Lead, error) // ErrNotFound: campaign unknown
	// CreateLeads takes in all leads or, when a campaign is unknown, none (UnknownCampaigns).
	CreateLeads(context.Context, []NewLead) (ids []int64, err error)
	Lead(ctx context.Context, id int64) (Lead, error)
	Leads(context.Context, LeadFilter) ([]Lead, error)
	// UpdateLead lets change change the lead's status, which nobody else changes meanwhile.
	UpdateLead(ctx context.Context, id int64, change func(*Lead) error) (Lead, error)

	// Import takes in the rows of a file, parks those it cannot, and goes on with
	// an import that was interrupted.
	Import(context.Context, ImportRequest, ImportSource) (Import, error)
	ImportOf(ctx context.Context, id int64) (Import, error)
	DeadLetter(ctx context.Context, id int64) (DeadLetter, error)
	DeadLetters(context.Context, LetterFilter) ([]DeadLetter, error)
	// UpdateDeadLetter lets change change the row or the status of the letter, which
	// nobody else changes meanwhile.
	UpdateDeadLetter(ctx context.Context, id int64, change func(*DeadLetter) error) (DeadLetter, error)
	// DriveDeadLetter stores the lead that read finds in a parked letter.
	// UnknownCampaigns: its campaign is unknown; ErrConflict: its external id is known.
	DriveDeadLetter(ctx context.Context, id int64, read func(DeadLetter) (ImportedLead, error)) (DeadLetter, error)

	Ready(context.Context) error
}

// text says what is wrong with a text field; "" when nothing is.
func text(value string, maxRunes int) string {
	switch {
	case strings.TrimSpace(value) == "":
		return "must not be empty"
	case utf8.RuneCountInString(value) > maxRunes:
		return "is too long"
	case !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "holds control characters"
	}
	return ""
}

// date says what is wrong with a day; "" when nothing is.
func date(value string) string {
	// PostgreSQL has no year 0.
	if day, err := time.Parse(time.DateOnly, value); err != nil || day.Year() < 1 {
		return "must be a date like 2026-11-23"
	}
	return ""
}
