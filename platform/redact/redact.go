// Package redact takes literals out of SQL.
package redact

import (
	"strings"
	"unicode/utf8"
)

// Statement returns what a statement does, without what could be anybody's
// data: each literal becomes ?, a list of them one ?, and comments go. It knows
// the literals of Trino and PostgreSQL and keeps only what it knows to be none:
// keywords, names and operators. A quoted name stays when a dot joins it to
// another, since "Ann" in the place of 'Ann' is a common mistake. It ends with
// the word that reaches limit, in bytes.
//
// It does not ask whether the text is SQL: the caller keeps no text that was
// not understood (words of prose would stay).
func Statement(sql string, limit int) string {
	n := normaliser{sql: sql}
	for n.at < len(n.sql) && len(n.out) < limit {
		n.next()
	}
	return strings.TrimSpace(string(n.out))
}

const placeholder = "?"

type normaliser struct {
	sql   string
	at    int
	out   []byte
	space bool // before what comes next
}

func (n *normaliser) peek(i int) byte {
	if n.at+i < len(n.sql) {
		return n.sql[n.at+i]
	}
	return 0
}

func (n *normaliser) next() {
	c := n.sql[n.at]
	switch {
	case c == ' ' || c >= '\t' && c <= '\r':
		n.at++
		n.space = true
	case c == '-' && n.peek(1) == '-':
		n.skipTo("\n")
		n.space = true
	case c == '/' && n.peek(1) == '*':
		n.comment()
	case c == '\'':
		n.text(false)
	case c == '"' || c == '`':
		n.quoted(c)
	case c == '$':
		n.dollar()
	case digit(c) || c == '.' && digit(n.peek(1)) && !n.afterName():
		for n.at < len(n.sql) && (letter(n.sql[n.at]) || digit(n.sql[n.at]) || n.sql[n.at] == '.') {
			n.at++
		}
		n.literal()
	case letter(c):
		n.word()
	case strings.IndexByte("()[]{},;.+-*/%<>=!|&^~:@#?", c) >= 0:
		n.at++
		n.space = n.space && c != ',' && c != ')' && c != ';'
		n.put(string(c))
	default:
		n.at++ // control characters and the like
		n.space = true
	}
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c >= 0x80 }
func digit(c byte) bool  { return c >= '0' && c <= '9' }

func (n *normaliser) put(s string) {
	if n.space && len(n.out) > 0 {
		n.out = append(n.out, ' ')
	}
	n.space = false
	n.out = append(n.out, s...)
}

// literal puts a placeholder, unless it continues a list of them.
func (n *normaliser) literal() {
	if list := strings.TrimRight(string(n.out), " "); strings.HasSuffix(list, placeholder+",") {
		n.out = []byte(strings.TrimSuffix(list, ","))
		n.space = false
		return
	}
	n.put(placeholder)
}

// afterName tells whether what was put last can have a field.
func (n *normaliser) afterName() bool {
	if n.space || len(n.out) == 0 {
		return false
	}
	last := n.out[len(n.out)-1]
	return letter(last) || last == '"' || last == ']' || last == ')'
}

// skipTo skips what comes before end, and end; all of the rest without one.
func (n *normaliser) skipTo(end string) {
	if i := strings.Index(n.sql[n.at:], end); i >= 0 {
		n.at += i + len(end)
	} else {
		n.at = len(n.sql)
	}
}

// comment skips a comment as PostgreSQL does, where comments nest. Trino's do
// not: of "/* /* */ SELECT 1" it runs the SELECT, which here is in a comment
// without an end, and shows as a placeholder.
func (n *normaliser) comment() {
	depth := 0
	for n.at < len(n.sql) {
		switch {
		case n.sql[n.at] == '/' && n.peek(1) == '*':
			depth++
			n.at += 2
		case n.sql[n.at] == '*' && n.peek(1) == '/':
			depth--
			n.at += 2
			if depth == 0 {
				n.space = true
				return
			}
		default:
			n.at++
		}
	}
	n.put(placeholder)
}

// text skips a text in single quotes. Whether a backslash before a quote ends
// it depends on settings that are not known here, so the rest goes with it.
func (n *normaliser) text(escapes bool) {
	for n.at++; n.at < len(n.sql); n.at++ {
		switch {
		case n.sql[n.at] == '\\' && escapes:
			n.at++
		case n.sql[n.at] == '\\' && n.peek(1) == '\'':
			n.at = len(n.sql)
		case n.sql[n.at] == '\'' && n.peek(1) == '\'':
			n.at++
		case n.sql[n.at] == '\'':
			n.at++
			n.literal()
			return
		}
	}
	n.at = len(n.sql)
	n.literal()
}

// quoted keeps a plain name that a dot joins to another.
func (n *normaliser) quoted(quote byte) {
	end := strings.IndexByte(n.sql[n.at+1:], quote)
	if end < 0 {
		n.at = len(n.sql)
		n.literal()
		return
	}
	name := n.sql[n.at+1 : n.at+1+end]
	n.at += end + 2
	for n.peek(0) == quote { // a doubled quote stands for itself: no plain name
		name = ""
		n.at++
		n.skipTo(string(quote))
	}
	joined := n.peek(0) == '.' || !n.space && len(n.out) > 0 && n.out[len(n.out)-1] == '.'
	plain := name != "" && len(name) <= 128 && strings.IndexFunc(name, func(r rune) bool { return r > 0x7f || !letter(byte(r)) && !digit(byte(r)) && r != '$' }) < 0
	if joined && plain {
		n.put(`"` + name + `"`)
		return
	}
	n.put(`"` + placeholder + `"`)
}

// dollar skips PostgreSQL's $tag$text$tag$, and parameters.
func (n *normaliser) dollar() {
	i := 1
	for letter(n.peek(i)) || i > 1 && digit(n.peek(i)) {
		i++
	}
	if n.peek(i) == '$' {
		tag := n.sql[n.at : n.at+i+1]
		n.at += len(tag)
		n.skipTo(tag)
		n.literal()
		return
	}
	n.at++
	for digit(n.peek(0)) {
		n.at++
	}
	n.literal()
}

// word keeps a keyword or name.
func (n *normaliser) word() {
	begin := n.at
	for n.at < len(n.sql) && (letter(n.sql[n.at]) || digit(n.sql[n.at]) || n.sql[n.at] == '$') {
		n.at++
	}
	word := n.sql[begin:n.at]
	if n.peek(0) == '\'' { // E'…', X'…', B'…', N'…'
		n.text(word == "e" || word == "E")
		return
	}
	if n.peek(0) == '&' && (n.peek(1) == '\'' || n.peek(1) == '"') && (word == "u" || word == "U") {
		n.at++
		return // the quotes are next
	}
	if len(word) > 128 || !utf8.ValidString(word) { // without its broken bytes it may be a number
		n.literal()
		return
	}
	n.put(word)
}
