package panel

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A View is what a page is looked at with.
type View struct {
	From, To time.Time
	Interval time.Duration       // of a point of a series; Grafana takes it from the width of the panel
	Values   map[string][]string // chosen, by variable
}

// Grafana's syntax of variables: $name, ${name}, ${name:format}, [[name]]; and
// of macros: $__name(arguments), where no argument holds a closing bracket.
var (
	variables = regexp.MustCompile(`\$(\w+)|\$\{(\w+)(?::(\w+))?\}|\[\[(\w+)\]\]`)
	macros    = regexp.MustCompile(`\$__(\w+)\(([^)]*)\)`)
)

// Expand puts the view into the SQL, as Grafana's PostgreSQL data source does
// (grafana.com/docs/grafana, "PostgreSQL query editor": macros, variables):
// values of variables become a list of quoted literals. An unknown macro or
// variable is an error. Grafana expands macros in values too; here they are put
// in last, and stay literals.
func (v View) Expand(sql string) (string, error) {
	var failed error
	sql = macros.ReplaceAllStringFunc(sql, func(found string) string {
		parts := macros.FindStringSubmatch(found)
		var args []string
		for a := range strings.SplitSeq(v.intervals(parts[2]), ",") {
			args = append(args, strings.TrimSpace(a))
		}
		text, err := v.macro(parts[1], args)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", found, err))
		}
		return text
	})
	sql, err := v.variables(v.intervals(sql), false)
	return sql, errors.Join(failed, err)
}

// Variables puts the values of the variables into the SQL and leaves macros as they
// are: what Grafana's pages do before they send a query to its server.
func (v View) Variables(sql string) (string, error) { return v.variables(sql, true) }

func (v View) variables(sql string, leaveMacros bool) (string, error) {
	var failed error
	sql = variables.ReplaceAllStringFunc(sql, func(found string) string {
		parts := variables.FindStringSubmatch(found)
		name := parts[1] + parts[2] + parts[4]
		values, known := v.Values[name]
		switch {
		case leaveMacros && strings.HasPrefix(name, "__"):
			return found
		case !known:
			failed = errors.Join(failed, fmt.Errorf("unknown variable %s", found))
		case parts[3] != "" && parts[3] != "sqlstring":
			failed = errors.Join(failed, fmt.Errorf("%s: only quoted values belong into SQL", found))
		}
		quoted := make([]string, len(values))
		for i, value := range values {
			quoted[i] = "'" + strings.ReplaceAll(value, "'", "''") + "'"
		}
		return strings.Join(quoted, ",")
	})
	return sql, failed
}

// intervals puts the interval in, in milliseconds and as PostgreSQL reads it.
func (v View) intervals(text string) string {
	return strings.NewReplacer(
		"$__interval_ms", strconv.FormatInt(v.Interval.Milliseconds(), 10),
		"$__interval", strconv.FormatInt(int64(v.Interval/time.Second), 10)+"s",
	).Replace(text)
}

func (v View) macro(name string, args []string) (string, error) {
	stamp := func(t time.Time) string { return "'" + t.UTC().Format(time.RFC3339Nano) + "'" }
	need := func(n int) error {
		if len(args) < n || args[0] == "" && n > 0 {
			return fmt.Errorf("needs %d arguments", n)
		}
		return nil
	}
	switch name {
	case "timeFilter":
		return args[0] + " BETWEEN " + stamp(v.From) + " AND " + stamp(v.To), need(1)
	case "timeFrom":
		return stamp(v.From), nil
	case "timeTo":
		return stamp(v.To), nil
	case "timeGroup", "timeGroupAlias":
		if err := need(2); err != nil {
			return "", err
		}
		if len(args) > 2 {
			return "", fmt.Errorf("filling gaps (%q) is not supported", args[2])
		}
		every, err := parseInterval(strings.Trim(args[1], "'"))
		if err != nil {
			return "", err
		}
		text := fmt.Sprintf("floor(extract(epoch from %s)/%d)*%d", args[0], every, every)
		if name == "timeGroupAlias" {
			text += ` AS "time"`
		}
		return text, nil
	}
	return "", fmt.Errorf("unknown macro")
}

var intervals = regexp.MustCompile(`^(\d+)([smhdw])$`)

// parseInterval gives the seconds of "30s", "5m", "1h", "1d" or "1w".
func parseInterval(text string) (int64, error) {
	parts := intervals.FindStringSubmatch(text)
	if parts == nil {
		return 0, fmt.Errorf("%q is no interval such as 5m or 1d", text)
	}
	n, err := strconv.ParseInt(parts[1], 10, 32)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is no interval such as 5m or 1d", text)
	}
	return n * map[string]int64{"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}[parts[2]], nil
}

// ParseFrom gives the moment of "now-90d", "now-24h" or "now", counted from now.
func ParseFrom(text string, now time.Time) (time.Time, error) {
	rest, ok := strings.CutPrefix(text, "now")
	if !ok {
		return time.Time{}, fmt.Errorf("%q does not begin with now", text)
	}
	if rest == "" {
		return now, nil
	}
	back, ok := strings.CutPrefix(rest, "-")
	if years, isYears := strings.CutSuffix(back, "y"); ok && isYears {
		n, err := strconv.Atoi(years)
		return now.AddDate(-n, 0, 0), err
	}
	seconds, err := parseInterval(back)
	if !ok || err != nil {
		return time.Time{}, fmt.Errorf("%q is no moment such as now-90d", text)
	}
	return now.Add(-time.Duration(seconds) * time.Second), nil
}
