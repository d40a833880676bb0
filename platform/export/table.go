package export

import (
	"fmt"
	"slices"
	"strings"
)

// A Unit is the length of time of one partition, a word of Iceberg's.
type Unit string

// Units of partitions.
const (
	Month Unit = "month"
	Day   Unit = "day"
)

// A Table is one of a domain that is exported. sales.orders is read from
// sales.public.orders and lies at lake.sales.orders.
type Table struct {
	Domain string // catalog of the source, and schema in the lake
	Name   string
	// Columns that are exported, in the types of the lake. Personal ones are
	// not: what is once in files is hard to forget.
	Columns []Column
	Key     []string // columns that name a row
	Time    string   // column of the time a row belongs to; it never changes
	Sum     string   // numeric column for the comparison
	Unit    Unit
	// Forgets tells that the domain drops old days, which the lake then keeps.
	Forgets bool
}

// A Column of a table in the lake.
type Column struct{ Name, Type string }

// Tables are all that are exported.
var Tables = []Table{
	{
		Domain: "sales", Name: "orders", Key: []string{"order_id"}, Time: "ordered_at", Sum: "total_amount", Unit: Month,
		Columns: []Column{
			{"order_id", "bigint"},
			{"customer_id", "bigint"},
			{"status", "varchar"},
			{"total_amount", "decimal(14,2)"},
			{"currency", "varchar"},
			{"ordered_at", "timestamp(6) with time zone"},
			{"updated_at", "timestamp(6) with time zone"},
		},
	},
	{
		Domain: "marketing", Name: "leads", Key: []string{"lead_id"}, Time: "created_at", Sum: "score", Unit: Month,
		Columns: []Column{
			{"lead_id", "bigint"},
			{"source", "varchar"},
			{"campaign_id", "bigint"},
			{"campaign_name", "varchar"},
			{"status", "varchar"},
			{"score", "integer"},
			{"created_at", "timestamp(6) with time zone"},
			{"converted_at", "timestamp(6) with time zone"},
		},
	},
	requestLog("sales_api"),
	requestLog("marketing_api"),
}

func requestLog(domain string) Table {
	return Table{
		Domain: domain, Name: "api_logs", Key: []string{"log_id", "served_at"}, Time: "served_at", Sum: "duration_us", Unit: Day, Forgets: true,
		Columns: []Column{
			{"log_id", "bigint"},
			{"served_at", "timestamp(6) with time zone"},
			{"service", "varchar"},
			{"route", "varchar"},
			{"method", "varchar"},
			{"status", "integer"},
			{"duration_us", "bigint"},
			{"response_bytes", "bigint"},
			{"request_id", "varchar"},
			{"api_key", "varchar"},
		},
	}
}

// String is what people call the table: "sales.orders".
func (t Table) String() string { return t.Domain + "." + t.Name }

// Source is the live table in Trino.
func (t Table) Source() string { return t.Domain + ".public." + t.Name }

// Lake is the exported table in Trino.
func (t Table) Lake() string { return "lake." + t.Domain + "." + t.Name }

// View holds the exported days and the live rows of all others.
func (t Table) View() string { return t.Lake() + "_all" }

// Named finds the tables of the given names; all of them without names.
func Named(names ...string) ([]Table, error) {
	if len(names) == 0 {
		return Tables, nil
	}
	var all []string
	for _, t := range Tables {
		all = append(all, t.String())
	}
	var found []Table
	for _, name := range names {
		i := slices.Index(all, name)
		if i < 0 {
			return nil, fmt.Errorf("%q is not exported; choose of %s", name, strings.Join(all, ", "))
		}
		found = append(found, Tables[i])
	}
	return found, nil
}

// A span is a range of days, from the first of them to the one after the last,
// as YYYY-MM-DD; an empty end is open.
type span struct{ from, to string }

// where limits a query to the rows of the span. Both sides can use it: PostgreSQL
// its index, Iceberg its partitions.
func (t Table) where(s span, column string) string {
	condition := "true"
	if s.from != "" {
		condition = fmt.Sprintf("%s >= TIMESTAMP '%s 00:00:00 UTC'", column, s.from)
	}
	if s.to != "" {
		condition += fmt.Sprintf(" AND %s < TIMESTAMP '%s 00:00:00 UTC'", column, s.to)
	}
	return condition
}

// names of the columns, each with a prefix.
func (t Table) names(prefix string) string {
	var list []string
	for _, c := range t.Columns {
		list = append(list, prefix+c.Name)
	}
	return strings.Join(list, ", ")
}

// live selects the rows of the source in the types of the lake.
func (t Table) live() string {
	var list []string
	for _, c := range t.Columns {
		list = append(list, fmt.Sprintf("CAST(%s AS %s) AS %s", c.Name, c.Type, c.Name))
	}
	return "SELECT " + strings.Join(list, ", ") + " FROM " + t.Source()
}

// same compares the key of two row sources.
func (t Table) same(a, b string) string {
	var list []string
	for _, k := range t.Key {
		list = append(list, fmt.Sprintf("%s.%s = %s.%s", a, k, b, k))
	}
	return strings.Join(list, " AND ")
}

func (t Table) createSchema() string { return "CREATE SCHEMA IF NOT EXISTS lake." + t.Domain }

func (t Table) createTable() string {
	var list []string
	for _, c := range t.Columns {
		column := c.Name + " " + c.Type
		if c.Name == t.Time || slices.Contains(t.Key, c.Name) {
			column += " NOT NULL"
		}
		list = append(list, column)
	}
	return fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s (
	%s
) COMMENT 'Finished days of %s' WITH (partitioning = ARRAY['%s(%s)'])`,
		t.Lake(), strings.Join(list, ",\n\t"), t.Source(), t.Unit, t.Time)
}

// createView joins history and presence. A day is either wholly in the lake or
// not at all, so no row comes twice and none is missing. It works with the
// rights of whoever asks.
func (t Table) createView() string {
	return fmt.Sprintf(`CREATE OR REPLACE VIEW %s
COMMENT 'Exported days, and live rows of all other days'
SECURITY INVOKER AS
SELECT %s FROM %s
UNION ALL
SELECT * FROM (%s)
 WHERE CAST(%s AS date) NOT IN (SELECT CAST(%s AS date) FROM %s)`,
		t.View(), t.names(""), t.Lake(), t.live(), t.Time, t.Time, t.Lake())
}

// compare gives for each partition of the span, by its first day, the number of
// rows, the sum and a checksum of all columns, of the source and of the lake.
func (t Table) compare(s span) string {
	side := func(rows string) string {
		return fmt.Sprintf(`
		SELECT CAST(date_trunc('%s', %s) AS date) AS first_day, count(*) AS row_count, sum(%s) AS total,
		       to_hex(checksum(ROW(%s))) AS digest
		  FROM (%s WHERE %s)
		 GROUP BY 1`, t.Unit, t.Time, t.Sum, t.names(""), rows, t.where(s, t.Time))
	}
	return fmt.Sprintf(`SELECT coalesce(s.first_day, l.first_day),
       coalesce(s.row_count, 0), s.total, s.digest,
       coalesce(l.row_count, 0), l.total, l.digest
  FROM (%s) s
  FULL JOIN (%s) l ON l.first_day = s.first_day
 ORDER BY 1`, side(t.live()), side("SELECT "+t.names("")+" FROM "+t.Lake()))
}

// merge makes the lake's rows of the span those of the source. It is one
// statement and so one commit: a reader sees all of it or nothing. Rows that are
// equal already stay where they are.
func (t Table) merge(s span) string {
	var (
		keys, kept []string // of the source, else of the lake
		set        []string
	)
	for _, c := range t.Columns {
		if slices.Contains(t.Key, c.Name) {
			keys = append(keys, c.Name)
			kept = append(kept, fmt.Sprintf("coalesce(s.%s, l.%s) AS %s", c.Name, c.Name, c.Name))
		} else {
			kept = append(kept, "s."+c.Name)
			set = append(set, fmt.Sprintf("%s = s.%s", c.Name, c.Name))
		}
	}
	inKey := slices.Clone(keys)
	if !slices.Contains(inKey, t.Time) {
		inKey = append(inKey, t.Time)
	}
	gone := fmt.Sprintf("s.%s IS NULL", t.Key[0])
	if t.Forgets {
		// A day of which nothing is left was dropped, perhaps since we looked.
		gone += fmt.Sprintf(" AND bool_or(s.%s IS NOT NULL) OVER (PARTITION BY CAST(coalesce(s.%s, l.%s) AS date))", t.Key[0], t.Time, t.Time)
	}
	return fmt.Sprintf(`MERGE INTO %[1]s t
USING (
	SELECT %[2]s, s.%[3]s IS NULL AS missing, %[4]s AS gone
	  FROM (%[5]s WHERE %[6]s) s
	  FULL JOIN (SELECT %[7]s FROM %[1]s WHERE %[6]s) l ON %[8]s
) s
ON %[9]s AND %[10]s
WHEN MATCHED AND s.gone THEN DELETE
WHEN MATCHED AND NOT s.missing AND ROW(%[11]s) IS DISTINCT FROM ROW(%[12]s) THEN UPDATE SET %[13]s
WHEN NOT MATCHED THEN INSERT (%[14]s) VALUES (%[12]s)`,
		t.Lake(), strings.Join(kept, ", "), t.Key[0], gone,
		t.live(), t.where(s, t.Time),
		strings.Join(inKey, ", "), t.same("l", "s"),
		t.same("t", "s"), t.where(s, "t."+t.Time),
		t.names("t."), t.names("s."), strings.Join(set, ", "), t.names(""))
}
