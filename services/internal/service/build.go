package service

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"runtime"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// buildInfo is a metric of value 1 whose labels say which program runs: the
// SHA-256 of its file and Go's version. The Makefile builds the same bytes from
// the same source, without version or commit in them, so the file is the name.
type buildInfo struct{}

var buildDesc = prometheus.NewDesc("datameesh_build_info",
	"1; the program that runs, by the SHA-256 of its file, and the version of Go.", []string{"goversion", "sha256"}, nil)

func (buildInfo) Describe(ch chan<- *prometheus.Desc) { ch <- buildDesc }

func (buildInfo) Collect(ch chan<- prometheus.Metric) {
	sum, err := programSum()
	if err != nil {
		ch <- prometheus.NewInvalidMetric(buildDesc, err)
		return
	}
	ch <- prometheus.MustNewConstMetric(buildDesc, prometheus.GaugeValue, 1, runtime.Version(), sum)
}

// programSum is computed by the first scrape: 50 MB are no work for a start. The
// file is that of the process, also when another has taken its place.
var programSum = sync.OnceValues(func() (string, error) {
	file, err := os.Open("/proc/self/exe")
	if err != nil {
		return "", err
	}
	defer file.Close() //nolint:errcheck // only read
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
})
