package topology

import (
	"strings"
	"testing"
)

// Roles per server, written by hand from section 5 of docs/design.md.
func TestRoles(t *testing.T) {
	want := map[string]string{
		"sales-db":     "postgres sales_owner sales_app trino_ro grafana_ro notebook_ro",
		"sales-api-db": "postgres apimetrics_owner apimetrics_app trino_ro grafana_ro notebook_ro",
		"marketing-db": "postgres marketing_owner apimetrics_owner marketing_app apimetrics_app trino_ro grafana_ro notebook_ro",
		"platform-db":  "postgres analytics_owner hive_owner grafana_owner verify trino_analytics grafana_ro notebook_ro",
	}
	if len(Servers) != len(want) {
		t.Errorf("%d servers, want %d", len(Servers), len(want))
	}
	for _, s := range Servers {
		var names []string
		for _, r := range s.Roles() {
			names = append(names, r.Name)
		}
		if got := strings.Join(names, " "); got != want[s.Name] {
			t.Errorf("%s has %s, want %s", s.Name, got, want[s.Name])
		}
	}
}

func TestServerNamed(t *testing.T) {
	if s, ok := ServerNamed("marketing-db"); !ok || s.Port != PortMarketingDB {
		t.Errorf("got %v, %v", s, ok)
	}
	if _, ok := ServerNamed("marketing"); ok {
		t.Error("found a server that does not exist")
	}
}

func TestBehind(t *testing.T) {
	for catalog, want := range map[string]string{
		"sales": "sales-db sales_data sales_owner", "marketing_api": "marketing-db marketing_api apimetrics_owner",
		"sales_analytics": "platform-db sales_analytics trino_analytics", "lake": "", "": "", "verify": "",
	} {
		s, d, owner, found := Behind(catalog)
		if got := strings.TrimSpace(s.Name + " " + d.Name + " " + owner); got != want || found != (want != "") {
			t.Errorf("%q: %q, want %q", catalog, got, want)
		}
	}
}
