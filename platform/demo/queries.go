// Package demo asks the mesh's questions and proves the answers.
package demo

import "embed"

// Golden figures of --scale demo --seed 42, whatever day is as_of. They are
// counted with the seeders; a seeder that changes one of them is wrong.
const (
	goldenScale = "demo"
	goldenSeed  = 42

	goldenQ1 = 850
	goldenQ2 = 825
	goldenQ3 = 45
	goldenQ4 = 526

	goldenCustomers = 1000
	goldenLeads     = 2500
	goldenCampaigns = 9
	goldenSegments  = 5
)

// SeedSeconds is what the seed's document promises for its query, Q2.
const SeedSeconds = 2.3

// A Query is one question that spans both domains.
type Query struct {
	Name   string
	About  string
	SQL    string // for Trino
	Oracle string // the same for the verify database, every column as text
	// Sum is the number of the column, from 0, that is summed up on both paths.
	Sum int
	// Columns names all columns, for the query that sums up.
	Columns string
	// Golden is the number of rows while the data is as seeded.
	Golden int64
}

//go:embed *.sql oracle/*.sql
var files embed.FS

func text(name string) string {
	b, err := files.ReadFile(name)
	if err != nil {
		panic(err) // it is part of the program
	}
	return string(b)
}

// Queries are Q1 to Q4 of docs/kpis.md.
func Queries() []Query {
	return []Query{
		{"Q1", "customers who are leads, same e-mail", text("q1.sql"), text("oracle/q1.sql"), 3,
			"customer_id, email, segment, revenue, lead_id, campaign_name, created_at", goldenQ1},
		{"Q2", "the seed's query: revenue by customer and campaign", text("q2.sql"), text("oracle/q2.sql"), 2,
			"customer_name, campaign_name, revenue", goldenQ2},
		{"Q3", "revenue by segment and campaign", text("q3.sql"), text("oracle/q3.sql"), 4,
			"segment, campaign_name, leads, customers, revenue", goldenQ3},
		{"Q4", "customers of the year before as_of who are leads, any spelling", text("q4.sql"), text("oracle/q4.sql"), 2,
			"customer_id, email, revenue, lead_id, campaign_name", goldenQ4},
	}
}
