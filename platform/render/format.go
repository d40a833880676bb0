package render

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Units by Grafana's names.
const (
	unitMoney   = "currencyUSD"
	unitShare   = "percentunit"
	unitNumber  = "short"
	unitSeconds = "s"
	unitMillis  = "ms"
	unitBytes   = "bytes"
	unitRate    = "reqps"
)

func knownUnit(unit string) bool {
	switch unit {
	case unitMoney, unitShare, unitNumber, unitSeconds, unitMillis, unitBytes, unitRate:
		return true
	}
	return false
}

const minus = "−" // as wide as a digit, unlike a hyphen

// Format writes the value for people, with all that counts: money to the cent, which
// Grafana would shorten to "$464 K".
func (f Field) Format(value float64) string {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return "–"
	}
	sign := ""
	if value < 0 {
		sign, value = minus, -value
	}
	digits := func(otherwise int) int {
		if f.Decimals != nil {
			return *f.Decimals
		}
		return otherwise
	}
	text := ""
	switch f.Unit {
	case unitMoney:
		text = "$" + grouped(round(value, digits(2)))
	case unitShare:
		n := digits(1)
		if value >= 0.000005 && value < 0.0005 && f.Decimals == nil { // too small for a digit of its own
			n = 3
		}
		text = grouped(round(shift(value, 2), n)) + "%"
	case unitSeconds:
		text = duration(value, digits)
	case unitMillis:
		if value < 1000 {
			text = grouped(round(value, digits(significant(value)))) + " ms"
		} else {
			text = duration(value/1000, digits)
		}
	case unitBytes:
		text = scaled(value, 1024, []string{" B", " KiB", " MiB", " GiB", " TiB"}, digits)
	case unitRate:
		text = grouped(round(value, digits(significant(value)))) + " req/s"
	default:
		n := 0
		if value != math.Trunc(value) {
			n = 2
		}
		text = grouped(round(value, digits(n)))
	}
	if strings.Trim(text, "$0.,% ") == "" { // no minus before zero
		sign = ""
	}
	return sign + text
}

// significant is how many decimals show three digits of a small value.
func significant(value float64) int {
	switch {
	case value >= 100 || value == 0:
		return 0
	case value >= 10:
		return 1
	case value >= 0.1:
		return 2
	}
	return 3
}

func duration(seconds float64, digits func(int) int) string {
	for _, u := range []struct {
		name  string
		above float64
		size  float64
	}{{" days", 2 * 86_400, 86_400}, {" h", 2 * 3600, 3600}, {" min", 120, 60}, {" s", 1, 1}} {
		if seconds >= u.above {
			return grouped(round(seconds/u.size, digits(significant(seconds/u.size)))) + u.name
		}
	}
	return grouped(round(seconds*1000, digits(significant(seconds*1000)))) + " ms"
}

func scaled(value, base float64, names []string, digits func(int) int) string {
	i := 0
	for value >= base && i < len(names)-1 {
		value /= base
		i++
	}
	n := significant(value)
	if i == 0 {
		n = 0
	}
	return grouped(round(value, digits(n))) + names[i]
}

// round rounds the decimal that the number stands for, halves away from zero as
// PostgreSQL rounds a numeric: 2.675 becomes 2.68, though its float64 lies below.
// The value is not negative.
func round(value float64, digits int) string {
	text := strconv.FormatFloat(value, 'f', -1, 64)
	whole, rest, _ := strings.Cut(text, ".")
	if len(rest) <= digits {
		if digits == 0 {
			return whole
		}
		return whole + "." + rest + strings.Repeat("0", digits-len(rest))
	}
	up := rest[digits] >= '5'
	kept := []byte(whole + rest[:digits])
	for i := len(kept) - 1; up && i >= 0; i-- {
		if kept[i] != '9' {
			kept[i]++
			up = false
			break
		}
		kept[i] = '0'
	}
	all := string(kept)
	if up {
		all = "1" + all
	}
	if digits == 0 {
		return all
	}
	return all[:len(all)-digits] + "." + all[len(all)-digits:]
}

// shift moves the point of the decimal that the number stands for to the right:
// 0.285 becomes 28.5, not 28.499999999999996.
func shift(value float64, places int) float64 {
	shifted, err := strconv.ParseFloat(strconv.FormatFloat(value, 'f', -1, 64)+"e"+strconv.Itoa(places), 64)
	if err != nil {
		return value * math.Pow10(places)
	}
	return shifted
}

func grouped(text string) string {
	whole, rest, point := strings.Cut(text, ".")
	var b strings.Builder
	for i, c := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	if point {
		b.WriteString("." + rest)
	}
	return b.String()
}

// Tick writes a value of an axis, short, as exact as the distance step of the ticks
// needs.
func (f Field) Tick(value, step float64) string {
	sign := ""
	if value < 0 {
		sign, value = minus, -value
	}
	short := func(value, step float64) string {
		suffix := ""
		for _, s := range []struct {
			size float64
			name string
		}{{1e9, "bn"}, {1e6, "M"}, {1e3, "k"}} {
			if max(value, step) >= s.size {
				value, step, suffix = value/s.size, step/s.size, s.name
				break
			}
		}
		if value == 0 {
			return "0"
		}
		text := strconv.FormatFloat(value, 'f', decimals(step), 64)
		return text + suffix
	}
	switch f.Unit {
	case unitMoney:
		return sign + "$" + short(value, step)
	case unitShare:
		return sign + strconv.FormatFloat(value*100, 'f', decimals(step*100), 64) + "%"
	case unitBytes, unitSeconds, unitMillis:
		if value == 0 {
			return "0"
		}
		return sign + trimZeros(f.Format(value))
	}
	return sign + short(value, step)
}

// trimZeros makes "20.0 ms" of an axis "20 ms".
func trimZeros(text string) string {
	number, unit, found := strings.Cut(text, " ")
	if strings.Contains(number, ".") {
		number = strings.TrimRight(strings.TrimRight(number, "0"), ".")
	}
	if !found {
		return number
	}
	return number + " " + unit
}

// decimals that tell multiples of the step apart.
func decimals(step float64) int {
	n := 0
	for step > 0 && n < 6 && math.Abs(step-math.Round(step)) > 1e-9*step {
		step *= 10
		n++
	}
	return n
}

// Cell writes any value of a table for people. Numbers are those of the field.
func (f Field) Cell(value any, empty string) string {
	switch x := value.(type) {
	case nil:
		return empty
	case float64:
		return f.Format(x)
	case time.Time:
		return Moment(x)
	case bool:
		if x {
			return "yes"
		}
		return "no"
	case string:
		return x
	}
	return ""
}

// Moment writes a time in UTC: a day alone when it is midnight.
func Moment(t time.Time) string {
	t = t.UTC()
	if t.Equal(t.Truncate(24 * time.Hour)) {
		return t.Format("2006-01-02")
	}
	return t.Format("2006-01-02 15:04")
}
