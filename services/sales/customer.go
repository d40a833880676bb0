package sales

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/datameesh/datameesh/services/internal/money"
)

// Regions and Segments are the values a customer's region and segment may have.
var (
	Regions  = []string{"AMER", "APAC", "EMEA", "LATAM"}
	Segments = []string{"Consumer", "Enterprise", "Mid-Market", "Public Sector", "Small Business"}
)

// A Customer is who buys.
type Customer struct {
	ID      int64  `json:"customer_id"`
	Name    string `json:"customer_name"`
	Email   string `json:"email"`
	Phone   string `json:"phone"`
	Region  string `json:"region"`
	Segment string `json:"segment"`
	// Revenue is the sum of the customer's paid orders in USD.
	Revenue   money.Amount `json:"revenue"`
	CreatedAt time.Time    `json:"created_at"`
	UpdatedAt time.Time    `json:"updated_at"`
}

// A NewCustomer is what somebody says of a customer to be registered.
type NewCustomer struct {
	Name    string `json:"customer_name"`
	Email   string `json:"email"`
	Phone   string `json:"phone"`
	Region  string `json:"region"`
	Segment string `json:"segment"`
}

// Validate gives what is wrong, by JSON pointer; nothing when all is right.
func (c NewCustomer) Validate() map[string]string {
	return CustomerChange{Name: &c.Name, Email: &c.Email, Phone: &c.Phone, Region: &c.Region, Segment: &c.Segment}.Validate()
}

// A CustomerChange is new values for some fields; nil leaves a field as it is.
type CustomerChange struct {
	Name    *string `json:"customer_name"`
	Email   *string `json:"email"`
	Phone   *string `json:"phone"`
	Region  *string `json:"region"`
	Segment *string `json:"segment"`
}

// Validate gives what is wrong, by JSON pointer; nothing when all is right.
func (c CustomerChange) Validate() map[string]string {
	wrong := map[string]string{}
	check := func(pointer string, value *string, problem func(string) string) {
		if value == nil {
			return
		}
		if detail := problem(*value); detail != "" {
			wrong[pointer] = detail
		}
	}
	check("/customer_name", c.Name, func(s string) string { return text(s, 200) })
	check("/email", c.Email, email)
	check("/phone", c.Phone, func(s string) string {
		if s == "" {
			return ""
		}
		return text(s, 50)
	})
	check("/region", c.Region, oneOf(Regions))
	check("/segment", c.Segment, oneOf(Segments))
	return wrong
}

// Apply gives the customer the new values.
func (c CustomerChange) Apply(to *Customer) {
	for _, field := range []struct{ value, of *string }{
		{c.Name, &to.Name}, {c.Email, &to.Email}, {c.Phone, &to.Phone}, {c.Region, &to.Region}, {c.Segment, &to.Segment},
	} {
		if field.value != nil {
			*field.of = *field.value
		}
	}
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

func oneOf(allowed []string) func(string) string {
	return func(s string) string {
		if slices.Contains(allowed, s) {
			return ""
		}
		return "must be one of " + strings.Join(allowed, ", ")
	}
}

// A CustomerFilter picks customers; zero fields pick all. Customers come in the
// order of their ids, from the one after After, at most Limit.
type CustomerFilter struct {
	Region, Segment string
	Email           string // any spelling of it
	CreatedFrom     time.Time
	CreatedTo       time.Time // excluded
	After           int64
	Limit           int
}
