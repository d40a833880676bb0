package seed

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/datameesh/datameesh/services/internal/pgtest"
	"github.com/datameesh/datameesh/services/internal/seeding"
)

func TestAFileOfCustomersIsLoadedOnce(t *testing.T) {
	db := pgtest.New(t, schema)
	t.Setenv("DATABASE_URL", db.URL("sales_owner"))
	path := filepath.Join(t.TempDir(), "customers.csv")
	var text strings.Builder
	text.WriteString("email,customer_name,phone,region,segment\n")
	for i := range 2500 {
		fmt.Fprintf(&text, "%d@example.com,\"Customer %d, Ltd\",,EMEA,Consumer\n", i, i)
	}
	text.WriteString(" 7@EXAMPLE.com,Again,,EMEA,Consumer\nx@example.com,X,,Mars,Consumer\n\"y@example.com,Y,,EMEA,Consumer\n")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	load := func() string {
		t.Helper()
		var out, talk bytes.Buffer
		if code := seeding.Main(t.Context(), Domain, []string{"--from", path}, &out, &talk); code != 0 {
			t.Fatalf("exit code %d: %s", code, talk.String())
		}
		return out.String()
	}
	want := "line,reason,row\n2503,\"region must be one of AMER, APAC, EMEA, LATAM\",\"x@example.com,X,,Mars,Consumer\"\n2504,the row has a quotation mark that is never closed,\"\"\"y@example.com,Y,,EMEA,Consumer\"\n"
	for _, counts := range []string{"stored 2500\nknown 1\nbad 2\n", "stored 0\nknown 2501\nbad 2\n"} {
		if got := load(); got != counts {
			t.Errorf("%q, want %q", got, counts)
		}
		rejected, err := os.ReadFile(path + ".rejected")
		if err != nil || string(rejected) != want {
			t.Errorf("rejected: %q, error %v", rejected, err)
		}
	}
	if info, err := os.Stat(path + ".rejected"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read the rejected rows: %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("email,customer_name,region,segment\nnew@example.com,New,EMEA,Consumer\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := load(); got != "stored 1\nknown 0\nbad 0\n" {
		t.Errorf("corrected: %q", got)
	}
	if _, err := os.Stat(path + ".rejected"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the rejected rows of before are still there: %v", err)
	}
	var first string
	if err := db.Connect(t, "sales_owner").QueryRow(t.Context(), `SELECT customer_name FROM customers ORDER BY customer_id LIMIT 1`).Scan(&first); err != nil || first != "Customer 0, Ltd" {
		t.Errorf("the first customer is %q, error %v", first, err)
	}
}
