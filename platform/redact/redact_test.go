package redact

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// enough is the limit of these statements; the last word may pass it by longest.
const enough, longest = 1200, 130

func TestStatement(t *testing.T) {
	for sql, want := range map[string]string{
		`SELECT 1`: `SELECT ?`,
		`select c.email from sales.public.customers c where c.email = 'ann@example.com' and c.revenue > 1234.50`: `select c.email from sales.public.customers c where c.email = ? and c.revenue > ?`,
		`select * from t where id in (1, 2,3 , 'x')  and n between -1e5 and .5`:                                  `select * from t where id in (?) and n between -? and ?`,
		"select 'it''s' -- Ann\n, 2 /* Bob /* nested */ x */ from t":                                             `select ? from t`,
		`select E'a\'b' || X'AFFE' || U&'d\0061t' || N'x' || b'01', $1 from t`:                                   `select ? || ? || ? || ? || ? from t`,
		`do $body$ begin perform 'secret'; end $body$`:                                                           `do ?`,
		`select $$ann$$, $1, a`: `select ?, a`,
		`select * from "sales"."public"."customers" where name = "Ann"`: `select * from "sales"."public"."customers" where name = "?"`,
		`select "ann@example.com".x, "a""b".c from ` + "`t`":            `select "?".x, "?".c from "?"`,
		`select 'unfinished ann`:                                        `select ?`,
		`select 'C:\' from t where x = 'ann'`:                           `select ?`,
		`select /* /* */ 1 from secrets`:                                `select ?`,
		`alter role alex password 'geheim'`:                             `alter role alex password ?`,
		"select\ta\r\nfrom\x00b":                                        `select a from b`,
		`select t.a[1], f(x)(2), date '2026-01-31', interval '1' day`:   `select t.a[?], f(x)(?), date ?, interval ? day`,
		`select a1, b_2$, größe from t1`:                                `select a1, b_2$, größe from t1`,
		"select \xb41234, x\xff from t":                                 `select ? from t`,
		``:                                                              ``,
	} {
		if got := Statement(sql, enough); got != want {
			t.Errorf("%q:\n got %q\nwant %q", sql, got, want)
		}
	}
}

func TestStatementEnds(t *testing.T) {
	if got, want := Statement("select "+strings.Repeat("größe + ", 1000)+"1", 20), "select größe + größe"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Pieces of statements around a literal; none of them may let it through.
func FuzzStatementHidesLiterals(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7}, "ann@example.com")
	f.Add([]byte{9, 9, 0, 5, 3}, `it's \ "$$" */ --`)
	f.Fuzz(func(t *testing.T, pieces []byte, value string) {
		if len(pieces) > 50 || len(value) > 200 || strings.Contains(value, "$t$") || strings.ContainsAny(value, "\x00") {
			return
		}
		const canary = "Zz9Canary"
		value = canary + value + canary
		doubled := strings.ReplaceAll(value, "'", "''")
		var b strings.Builder
		for _, p := range pieces {
			switch p % 10 {
			case 0:
				b.WriteString(" '" + doubled + "'") // joined to E'…' it would go on with that
			case 1:
				b.WriteString(" E'" + strings.ReplaceAll(strings.ReplaceAll(value, `\`, `\\`), "'", `\'`) + "'")
			case 2:
				b.WriteString(" $t$" + value + "$t$")
			case 3:
				b.WriteString(" -- " + strings.NewReplacer("\n", "", "\r", "").Replace(value) + "\n")
			case 4:
				b.WriteString(" /* " + strings.NewReplacer("*", "", "/", "").Replace(value) + " */ ")
			case 5:
				b.WriteString(` = "` + strings.ReplaceAll(value, `"`, `""`) + `" `)
			case 6:
				b.WriteString(" select a.b, ")
			case 7:
				b.WriteString(" 12.5e3, ")
			case 8:
				b.WriteString(" U&'" + doubled + "' ")
			case 9:
				b.WriteString(" x <> ")
			}
		}
		got := Statement(b.String(), enough)
		if strings.Contains(got, canary) {
			t.Errorf("%q\nshows %q", b.String(), got)
		}
	})
}

func FuzzStatement(f *testing.F) {
	for _, s := range []string{`select 'a'`, `"`, `$a$`, `/*`, "\xff'", `e'\`, `u&"`, `.5.5`, "`a``b`.c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		got := Statement(sql, enough)
		if len(got) > enough+longest || !utf8.ValidString(got) || strings.ContainsAny(got, "'\n\r\t\x00") {
			t.Errorf("%q becomes %q", sql, got)
		}
		// A number begins where no name does.
		for i := 1; i < len(got); i++ {
			if digit(got[i]) && !letter(got[i-1]) && !digit(got[i-1]) && got[i-1] != '$' && got[i-1] != '"' {
				t.Errorf("%q keeps a number: %q", sql, got)
				break
			}
		}
	})
}
