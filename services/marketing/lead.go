package marketing

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Sources are the values a lead's source may have: where the lead said so.
var Sources = []string{"Event", "Import", "Partner", "Phone", "Website"}

// A LeadStatus is where a lead is in its life.
type LeadStatus string

// The statuses of a lead: new, contacted, qualified, converted; on the way it
// may get lost, and a lost lead may be contacted again.
const (
	New       LeadStatus = "new"
	Contacted LeadStatus = "contacted"
	Qualified LeadStatus = "qualified"
	Converted LeadStatus = "converted"
	Lost      LeadStatus = "lost"
)

// LeadStatuses are all statuses, in the order of a lead's life.
var LeadStatuses = []LeadStatus{New, Contacted, Qualified, Converted, Lost}

// LeadStatusNames gives LeadStatuses as text.
func LeadStatusNames() []string {
	names := make([]string, len(LeadStatuses))
	for i, s := range LeadStatuses {
		names[i] = string(s)
	}
	return names
}

// MayBecome says whether a lead may go from s to next: forward, where steps may
// be left out; a lost lead back to contacted. A converted lead stays converted.
// A status may always become itself: asking twice does no harm.
func (s LeadStatus) MayBecome(next LeadStatus) bool {
	switch s {
	case next:
		return true
	case Converted:
		return false
	case Lost:
		return next == Contacted
	}
	return slices.Index(LeadStatuses, next) > slices.Index(LeadStatuses, s)
}

// A Lead is somebody's interest, won by a campaign. One person may be several.
type Lead struct {
	ID           int64      `json:"lead_id"`
	Email        string     `json:"email"`
	FullName     string     `json:"full_name"`
	Source       string     `json:"source"`
	CampaignID   int64      `json:"campaign_id"`
	CampaignName string     `json:"campaign_name"`
	Status       LeadStatus `json:"status"`
	Score        int        `json:"score"` // 0 to 100, how likely the lead is to convert
	CreatedAt    time.Time  `json:"created_at"`
	ConvertedAt  *time.Time `json:"converted_at"` // null unless converted
	ExternalID   *string    `json:"external_id"`  // what its source calls it; null when unknown
}

// A NewLead is a lead to be taken in; it starts as new.
type NewLead struct {
	Email      string `json:"email"`
	FullName   string `json:"full_name"`
	Source     string `json:"source"`
	CampaignID int64  `json:"campaign_id"`
	Score      int    `json:"score"`
}

// Validate gives what is wrong, by JSON pointer; nothing when all is right.
func (l NewLead) Validate() map[string]string {
	wrong := map[string]string{}
	check := func(pointer, detail string) {
		if detail != "" {
			wrong[pointer] = detail
		}
	}
	check("/email", email(l.Email))
	check("/full_name", text(l.FullName, 200))
	check("/source", oneOf(Sources)(l.Source))
	if l.CampaignID < 1 {
		wrong["/campaign_id"] = "must be a positive whole number"
	}
	if l.Score < 0 || l.Score > 100 {
		wrong["/score"] = "must be a whole number from 0 to 100"
	}
	return wrong
}

// email says what is wrong with an address. It is stored as given, so blanks
// around it are allowed; only mail to it could prove more than its form.
func email(s string) string {
	if detail := text(s, 254); detail != "" {
		return detail
	}
	local, domain, found := strings.Cut(strings.Trim(s, " "), "@")
	if !found || local == "" || domain == "" || strings.ContainsFunc(local+domain, func(r rune) bool { return r == '@' || r == '\uFEFF' || unicode.IsSpace(r) }) {
		return "is not an e-mail address"
	}
	return ""
}

// MaxBatch is how many leads may come at once.
const MaxBatch = 1000

// NewLeads are leads to be taken in at once.
type NewLeads []NewLead

// Validate gives what is wrong, by JSON pointer from "/leads"; nothing when all
// is right.
func (l NewLeads) Validate() map[string]string {
	if len(l) < 1 || len(l) > MaxBatch {
		return map[string]string{"/leads": fmt.Sprintf("must hold 1 to %d leads", MaxBatch)}
	}
	wrong := map[string]string{}
	for i, lead := range l {
		for pointer, detail := range lead.Validate() {
			wrong[fmt.Sprintf("/leads/%d%s", i, pointer)] = detail
		}
	}
	return wrong
}

// A StatusChange asks for another status of a lead.
type StatusChange struct {
	Status LeadStatus `json:"status"`
}

// Validate gives what is wrong, by JSON pointer; nothing when all is right.
func (c StatusChange) Validate() map[string]string {
	if slices.Contains(LeadStatuses, c.Status) {
		return nil
	}
	return map[string]string{"/status": "must be one of " + strings.Join(LeadStatusNames(), ", ")}
}

// Apply moves the lead to the status; ErrConflict when it cannot go there.
func (c StatusChange) Apply(to *Lead) error {
	if !to.Status.MayBecome(c.Status) {
		return fmt.Errorf("%w: lead %d is %s and cannot become %s", ErrConflict, to.ID, to.Status, c.Status)
	}
	to.Status = c.Status
	return nil
}

// A LeadFilter picks leads; zero fields pick all. Leads come in the order of
// their ids, from the one after After, at most Limit.
type LeadFilter struct {
	Status      LeadStatus
	CampaignID  int64
	Source      string
	Email       string // any spelling of it
	CreatedFrom time.Time
	CreatedTo   time.Time // excluded
	After       int64
	Limit       int
}
