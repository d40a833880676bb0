package local

import (
	"slices"
	"testing"

	"github.com/datameesh/datameesh/platform/state"
)

func TestErrorsLeadToCatalogs(t *testing.T) {
	m := state.Mesh{PortOffset: 1000, Profile: state.ProfileFull}
	for text, want := range map[string][]string{
		"Connection to 127.0.0.1:31432 refused. Check that the hostname":        {"sales"},
		"Connection to 127.0.0.1:31434 refused.":                                {"marketing", "marketing_api"},
		"127.0.0.1:31983: java.net.SocketTimeoutException: Read timed out":      {"hive", "lake"},
		"Connect to 127.0.0.1:31900 failed":                                     {"hive", "lake"},
		"127.0.0.1:314321 is longer, 127.0.0.1:30432 is of another mesh":        nil,
		"line 1:15: Table 'sales.public.nothing' does not exist":                nil,
		"http://127.0.0.1:31881/v1/task: a worker, which belongs to no catalog": nil,
	} {
		var got []string
		for _, component := range Addressed(m, text) {
			got = append(got, Catalogs(component)...)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
