package service

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
)

// buildInfo is a metric of value 1 whose labels say which program runs: the
// SHA-256 of its file and Go's version. The Makefile builds the same bytes from
// the same source, without version or commit in them, so the file is the name.
func buildInfo() (prometheus.Collector, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // only read
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return nil, err
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "datameesh_build_info",
		Help: "1; the program that runs, by the SHA-256 of its file, and the version of Go.",
		ConstLabels: prometheus.Labels{
			"sha256":    hex.EncodeToString(sum.Sum(nil)),
			"goversion": runtime.Version(),
		},
	})
	info.Set(1)
	return info, nil
}
