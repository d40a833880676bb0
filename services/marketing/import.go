package marketing

import (
	"fmt"
	"strings"
	"time"
)

// An ImportedLead is a row of a file of leads.
type ImportedLead struct {
	Email      string `json:"email"`
	FullName   string `json:"full_name"`
	Source     string `json:"source"`
	CampaignID int64  `json:"campaign_id"`
	Score      int    `json:"score"`
	// ExternalID is what the system that the lead comes from calls it; empty when
	// unknown. A lead that its source has already is not stored again.
	ExternalID string `json:"external_id"`
}

// ImportColumns are the columns that a file of leads must have.
var ImportColumns = []string{"email", "full_name", "source", "campaign_id"}

// Validate gives what is wrong, by JSON pointer; nothing when all is right.
func (l ImportedLead) Validate() map[string]string {
	wrong := NewLead{l.Email, l.FullName, l.Source, l.CampaignID, l.Score}.Validate()
	if l.ExternalID != "" {
		if detail := text(l.ExternalID, 200); detail != "" {
			wrong["/external_id"] = detail
		}
	}
	return wrong
}

// An ImportState says whether all rows of an import are done.
type ImportState string

// The states of an import. One that was interrupted is still running: sent
// again with its key it goes on.
const (
	Running  ImportState = "running"
	Complete ImportState = "complete"
)

// An Import is a file of leads that was sent to be taken in.
type Import struct {
	ID          int64           `json:"import_id"`
	State       ImportState     `json:"state"`
	Format      string          `json:"format"`   // csv or ndjson
	Position    int64           `json:"position"` // line of the last row that is done
	Stored      int64           `json:"stored"`
	Duplicates  int64           `json:"duplicates"` // rows whose external_id their source had already
	Parked      int64           `json:"parked"`
	Problems    []ImportProblem `json:"problems"` // of the first parked rows
	StartedAt   time.Time       `json:"started_at"`
	CompletedAt *time.Time      `json:"completed_at"` // null while running
}

// An ImportProblem says why a row was parked.
type ImportProblem struct {
	DeadLetterID int64  `json:"dead_letter_id"`
	Position     int64  `json:"position"` // line in the file, from 1
	Reason       string `json:"reason"`
}

// MaxProblems is how many problems an Import lists.
const MaxProblems = 10

// An ImportRequest is what makes two sendings of a file the same import.
type ImportRequest struct {
	Caller string // name of the API key
	Key    string // Idempotency-Key
}

// An ImportRow is one row of a file.
type ImportRow struct {
	Position int64 // its first line in the file, from 1
	Raw      string
	Lead     ImportedLead
	Wrong    string // why it cannot become a lead; empty when it can
}

// An ImportSource is a file of leads that is read once, from its beginning.
type ImportSource interface {
	Format() string
	Columns() []string // header row of a CSV file
	// Batch gives the next rows, with io.EOF when they are the last.
	Batch() ([]ImportRow, error)
	// Skip passes over the rows up to the one at the position, over all for -1, and
	// says whether there is such a row.
	Skip(position int64) (bool, error)
	// Sum is a digest of the file up to the last row given; after io.EOF of all.
	Sum() []byte
}

// A LetterStatus is what became of a row that was parked.
type LetterStatus string

// The statuses of a dead letter.
const (
	Parked    LetterStatus = "parked"
	Driven    LetterStatus = "driven" // became a lead
	Discarded LetterStatus = "discarded"
)

// LetterStatusNames are the statuses of a dead letter as text.
var LetterStatusNames = []string{string(Parked), string(Driven), string(Discarded)}

// A DeadLetter is a row of an import that could not become a lead.
type DeadLetter struct {
	ID        int64        `json:"dead_letter_id"`
	ImportID  int64        `json:"import_id"`
	Position  int64        `json:"position"` // line in the file, from 1
	Reason    string       `json:"reason"`   // why it was parked
	Format    string       `json:"format"`
	Columns   []string     `json:"columns"` // what the cells of a CSV row are; null for ndjson
	Raw       string       `json:"raw"`
	Status    LetterStatus `json:"status"`
	LeadID    *int64       `json:"lead_id"` // null unless driven
	CreatedAt time.Time    `json:"created_at"`
	UpdatedAt time.Time    `json:"updated_at"`
}

// MustBeParked is ErrConflict for a letter about which something was decided.
func (d DeadLetter) MustBeParked() error {
	if d.Status == Parked {
		return nil
	}
	return fmt.Errorf("%w: dead letter %d is %s already", ErrConflict, d.ID, d.Status)
}

// A LetterChange corrects the row of a dead letter.
type LetterChange struct {
	Raw *string `json:"raw"`
}

// maxRaw is the longest row that somebody may write, in bytes.
const maxRaw = 64 << 10

// Validate gives what is wrong, by JSON pointer; nothing when all is right.
func (c LetterChange) Validate() map[string]string {
	switch {
	case c.Raw == nil:
		return nil
	case len(*c.Raw) > maxRaw:
		return map[string]string{"/raw": fmt.Sprintf("is longer than %d bytes", maxRaw)}
	case strings.ContainsRune(*c.Raw, 0):
		return map[string]string{"/raw": "holds a zero byte"}
	}
	return nil
}

// Apply gives the letter the corrected row; ErrConflict unless it is parked.
func (c LetterChange) Apply(to *DeadLetter) error {
	if err := to.MustBeParked(); err != nil {
		return err
	}
	if c.Raw != nil {
		to.Raw = *c.Raw
	}
	return nil
}

// Discard gives the letter up; ErrConflict when it became a lead.
func Discard(letter *DeadLetter) error {
	if letter.Status == Driven {
		return letter.MustBeParked()
	}
	letter.Status = Discarded
	return nil
}

// A LetterFilter picks dead letters; zero fields pick all. They come in the
// order of their ids, from the one after After, at most Limit.
type LetterFilter struct {
	ImportID int64
	Status   LetterStatus
	After    int64
	Limit    int
}
