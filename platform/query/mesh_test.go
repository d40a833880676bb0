//go:build mesh

package query

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/datameesh/datameesh/platform/meshtest"
)

// These tests need a mesh that runs in the folder $MEESH_HOME:
//
//	MEESH_HOME=… go test -tags mesh ./query

func meshClient(t *testing.T, person, password string) *Client {
	t.Helper()
	mesh := meshtest.Running(t)
	if password == "" {
		password = mesh.Password(person)
	}
	c, err := New(Config{CA: mesh.CA, User: person, Password: password, Source: "test", Address: mesh.Trino()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func meshRow(t *testing.T, c *Client, sql string) []any {
	t.Helper()
	ctx := context.Background()
	rows, err := c.Query(ctx, sql, nil)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	defer func() { _ = rows.Close() }()
	if !rows.Next(ctx) {
		t.Fatalf("%s: no row: %v", sql, rows.Err())
	}
	values := append([]any(nil), rows.Values()...)
	if rows.Next(ctx) || rows.Err() != nil {
		t.Fatalf("%s: more than one row, or %v", sql, rows.Err())
	}
	return values
}

// Every type comes through as documented.
func TestMeshTypes(t *testing.T) {
	c := meshClient(t, "mike", "")
	for sql, want := range map[string]string{
		`true`:                `boolean true`,
		`smallint '-3'`:       `smallint -3`,
		`9223372036854775807`: `bigint 9223372036854775807`,
		`1.5e0`:               `double 1.5`,
		`nan()`:               `double NaN`,
		`decimal '-123456789012345678901234567.05'`:      `decimal(29,2) -123456789012345678901234567.05`,
		`cast(null as decimal(14,2))`:                    `decimal(14,2) NULL`,
		`'Zoë'`:                                          `varchar(3) Zoë`,
		`cast('x' as varchar)`:                           `varchar x`,
		`date '2026-02-28'`:                              `date 2026-02-28`,
		`timestamp '2026-02-28 01:02:03.123456'`:         `timestamp(6) 2026-02-28 01:02:03.123456`,
		`timestamp '2026-02-28 01:02:03.5 UTC'`:          `timestamp(1) with time zone 2026-02-28 01:02:03.5 UTC`,
		`timestamp '2026-07-01 01:02:03 Europe/Berlin'`:  `timestamp(0) with time zone 2026-07-01 01:02:03 Europe/Berlin`,
		`time '01:02:03.250'`:                            `time(3) 01:02:03.250`,
		`interval '2' day`:                               `interval day to second 2 00:00:00.000`,
		`X'00ff'`:                                        `varbinary 00ff`,
		`uuid '12151fd2-7586-11e9-8f9e-2a86e4085a59'`:    `uuid 12151fd2-7586-11e9-8f9e-2a86e4085a59`,
		`json '{"a":[1,2]}'`:                             `json {"a":[1,2]}`,
		`array[1, null]`:                                 `array(integer) [1,null]`,
		`map(array['b','a'], array[1, 2])`:               `map(varchar(1), integer) {"a":2,"b":1}`,
		`cast(row(1, 'x') as row(n integer, s varchar))`: `row(n integer, s varchar) {"n":1,"s":"x"}`,
	} {
		ctx := context.Background()
		rows, err := c.Query(ctx, "SELECT "+sql, nil)
		if err != nil {
			t.Errorf("%s: %v", sql, err)
			continue
		}
		if !rows.Next(ctx) {
			t.Errorf("%s: no row: %v", sql, rows.Err())
			continue
		}
		got := "NULL"
		if v := rows.Values()[0]; v != nil {
			got = Text(v)
		}
		if got = rows.Columns()[0].Type + " " + got; got != want {
			t.Errorf("%s: got %s, want %s", sql, got, want)
		}
		_ = rows.Close()
	}
}

// A query that is interrupted ends on the server, whenever that happens.
func TestMeshCancel(t *testing.T) {
	c := meshClient(t, "mike", "")
	for _, state := range []string{"QUEUED", "PLANNING", "RUNNING", "any"} {
		marker := fmt.Sprintf("cancelled %s %d", state, time.Now().UnixNano())
		ctx, cancel := context.WithCancel(context.Background())
		if state == "any" {
			cancel() // before Trino has answered anything
		}
		_, err := c.Run(ctx, "SELECT /* "+marker+` */ count(*) FROM TABLE(sequence(1, 10000000)) a
			CROSS JOIN TABLE(sequence(1, 10000)) b WHERE a.sequential_number % 7 = b.sequential_number % 5`,
			csvTo(t, io.Discard), func(p Progress) {
				if state == p.State || p.State == "RUNNING" {
					cancel()
				}
			})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want context.Canceled", state, err)
		}
		if state == "any" {
			continue // it need not have reached Trino
		}
		row := meshRow(t, c, `SELECT state, error_code FROM system.runtime.queries WHERE query LIKE '%`+marker+`%' AND query NOT LIKE '%runtime%'`)
		if row[0] != "FAILED" || row[1] != "USER_CANCELED" {
			t.Errorf("%s: the server says %v", state, row)
		}
	}
}

func TestMeshErrors(t *testing.T) {
	c := meshClient(t, "mike", "")
	for sql, want := range map[string]string{
		"SELECT nothing":                   "line 1, column 8: Column 'nothing' cannot be resolved (COLUMN_NOT_FOUND)",
		"SELECT 1\nFROM\n\tsales.public.x": "line 3, column 2: Table 'sales.public.x' does not exist (TABLE_NOT_FOUND)",
		"SELECT 1 / 0":                     "Division by zero (DIVISION_BY_ZERO)",
	} {
		_, err := c.Run(context.Background(), sql, csvTo(t, io.Discard), nil)
		var failed *Error
		if !errors.As(err, &failed) || failed.Error() != want {
			t.Errorf("%q: got %v, want %s", sql, err, want)
		}
	}
	_, err := meshClient(t, "mike", "wrong").Run(context.Background(), "SELECT 1", csvTo(t, io.Discard), nil)
	var login *LoginError
	if !errors.As(err, &login) {
		t.Errorf("wrong password: got %v, want *LoginError", err)
	}
}
