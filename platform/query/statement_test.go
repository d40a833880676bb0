package query

import (
	"errors"
	"testing"
)

func TestStatement(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"select 1", "select 1"},
		{"select 1;", "select 1"},
		{"select 1 ; ;\n ", "select 1"},
		{"\n\nselect 1;\n-- done; really\n/* ; */\n", "\n\nselect 1"},
		{"select ';', \"a;b\", 'it''s; fine' -- ; not the end\n, 2", "select ';', \"a;b\", 'it''s; fine' -- ; not the end\n, 2"},
		{"select /* a; b */ 1", "select /* a; b */ 1"},
		{"select 'unfinished;", "select 'unfinished"},
		{"with function f(x integer) returns integer begin return x; end select f(1);", "with function f(x integer) returns integer begin return x; end select f(1)"},
		{"CREATE OR REPLACE FUNCTION c.s.f() RETURNS integer BEGIN RETURN 1; END", "CREATE OR REPLACE FUNCTION c.s.f() RETURNS integer BEGIN RETURN 1; END"},
		{"select functions; ", "select functions"},
	} {
		got, err := Statement(c.in)
		if err != nil || got != c.want {
			t.Errorf("%q: got %q, %v, want %q", c.in, got, err, c.want)
		}
	}
}

func TestStatementRefused(t *testing.T) {
	for _, in := range []string{"", " \n\t", ";", "-- only a comment", "/* only a comment */ ;", "/* never ends"} {
		if _, err := Statement(in); !errors.Is(err, ErrNoStatement) {
			t.Errorf("%q: got %v, want ErrNoStatement", in, err)
		}
	}
	for in, line := range map[string]int{
		"select 1; select 2":                     1,
		"select 1;\n\n-- next\nselect 2;":        4,
		"drop table a;\ndrop table b;\nselect 1": 2,
	} {
		_, err := Statement(in)
		var several *SeveralError
		if !errors.As(err, &several) || several.Line != line {
			t.Errorf("%q: got %v, want a second statement on line %d", in, err, line)
		}
	}
}
