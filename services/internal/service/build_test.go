package service

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestTheBuildIsNamedByItsFile(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "sha256sum", program).Output()
	if err != nil {
		t.Fatal(err)
	}
	sum, _, _ := strings.Cut(string(out), " ")
	want := `# HELP datameesh_build_info 1; the program that runs, by the SHA-256 of its file, and the version of Go.
# TYPE datameesh_build_info gauge
datameesh_build_info{goversion="` + runtime.Version() + `",sha256="` + sum + `"} 1
`
	if err := testutil.CollectAndCompare(buildInfo{}, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
