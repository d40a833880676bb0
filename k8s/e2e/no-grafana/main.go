// Command no-grafana stands in for Grafana where its image cannot be had: the rest
// of the mesh starts, and its page says what it is. Nothing about Grafana is shown by it.
package main

import (
	"fmt"
	"net/http"
	"os"
	"time"
)

func main() {
	page := func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "This is no Grafana: its image cannot be had here, and this page stands in its place.")
	}
	// Whoever makes people known goes on.
	answer := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintln(w, `{"id": 1, "note": "this is no Grafana"}`)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", page)
	mux.HandleFunc("/api/", answer)
	server := &http.Server{Addr: ":" + os.Getenv("GRAFANA_PORT"), Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	if err := server.ListenAndServe(); err != nil {
		fmt.Fprintln(os.Stderr, "no-grafana:", err)
		os.Exit(1)
	}
}
