package jsonbody

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// A scanner walks valid JSON and notes what encoding/json lets pass: fields
// that are named twice, of which it takes the last, and nulls, which it skips.
type scanner struct {
	text  []byte
	at    int
	path  []step
	nulls map[string]string // what is wrong, by JSON pointer
	twice string            // JSON pointer
}

// A step is one part of a JSON pointer.
type step struct {
	name  []byte // a string of JSON, with its quotes; nil for an item of a list
	index int
}

// maxNames is more than any body has fields: of more names one is unknown or
// among the first twice.
const maxNames = 64

func (s *scanner) value() {
	switch s.space(); s.text[s.at] {
	case '{':
		s.list('}', func(seen [][]byte) [][]byte {
			name := s.string()
			s.path[len(s.path)-1].name = name
			for _, other := range seen {
				if same(name, other) {
					s.twice = s.pointer()
				}
			}
			s.space()
			s.at++ // the colon
			if len(seen) == maxNames {
				return seen
			}
			return append(seen, name)
		})
	case '[':
		s.list(']', func(seen [][]byte) [][]byte { return seen })
	case '"':
		s.string()
	case 'n':
		if s.nulls == nil {
			s.nulls = map[string]string{}
		}
		s.nulls[s.pointer()] = "must not be null; leave it out instead"
		s.at += len("null")
	default:
		for s.at < len(s.text) && strings.IndexByte(",]} \t\r\n", s.text[s.at]) < 0 {
			s.at++
		}
	}
}

// list walks the parts of an object or a list, each after what before reads.
func (s *scanner) list(end byte, before func(seen [][]byte) [][]byte) {
	var few [16][]byte // most objects have no more
	seen := few[:0]
	s.at++
	s.path = append(s.path, step{})
	for s.space(); s.text[s.at] != end; s.space() {
		seen = before(seen)
		s.value()
		s.path[len(s.path)-1].index++
		if s.space(); s.text[s.at] == ',' {
			s.at++
		}
	}
	s.at++
	s.path = s.path[:len(s.path)-1]
}

func (s *scanner) space() {
	for s.at < len(s.text) && (s.text[s.at] == ' ' || s.text[s.at] == '\n' || s.text[s.at] == '\t' || s.text[s.at] == '\r') {
		s.at++
	}
}

// string passes over a string and gives it with its quotes.
func (s *scanner) string() []byte {
	begin := s.at
	for s.at++; s.text[s.at] != '"'; s.at++ {
		if s.text[s.at] == '\\' {
			s.at++
		}
	}
	s.at++
	return s.text[begin:s.at]
}

// pointer says where the scanner is (RFC 6901).
func (s *scanner) pointer() string {
	var text strings.Builder
	for _, p := range s.path {
		text.WriteByte('/')
		if p.name == nil {
			text.WriteString(strconv.Itoa(p.index))
		} else {
			text.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(plain(p.name)))
		}
	}
	return text.String()
}

// same compares two strings of JSON. encoding/json does not tell apart what
// differs in case only. Names with escapes are rare, and cost memory.
func same(a, b []byte) bool {
	if bytes.IndexByte(a, '\\') < 0 && bytes.IndexByte(b, '\\') < 0 {
		return bytes.EqualFold(a, b)
	}
	return strings.EqualFold(plain(a), plain(b))
}

// plain takes the quotes and escapes from a string of JSON.
func plain(name []byte) string {
	if !strings.ContainsRune(string(name), '\\') {
		return string(name[1 : len(name)-1])
	}
	var text string
	if err := json.Unmarshal(name, &text); err != nil {
		return string(name) // not reached: the name is valid
	}
	return text
}
