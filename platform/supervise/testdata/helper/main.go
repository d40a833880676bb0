// Command helper is what the tests of package supervise run: a server, a task, or a supervisor of such.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/datameesh/datameesh/platform/supervise"
)

func main() {
	if err := realMain(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func realMain() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	f := flag.NewFlagSet("helper", flag.ExitOnError)
	dir := f.String("dir", "", "folder of the test")
	name := f.String("name", "", "component")
	specs := f.String("specs", "", "file with the specs to supervise")
	if err := f.Parse(os.Args[2:]); err != nil {
		return err
	}
	if err := note(*dir, "start "+*name); err != nil {
		return err
	}
	switch os.Args[1] {
	case "serve":
		return serve(ctx, *dir, *name)
	case "task":
		return task(ctx, *dir, *name)
	case "supervise":
		return superviseSpecs(*dir, *specs)
	}
	return fmt.Errorf("unknown mode %q", os.Args[1])
}

// note appends a line to the common diary of the test.
func note(dir, line string) error {
	f, err := os.OpenFile(filepath.Join(dir, "diary"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintln(f, line)
	return err
}

func exists(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}

// serve answers 200, or 503 while NAME.unready exists, or never while
// NAME.mute exists. It leaves its address in NAME.addr.
func serve(ctx context.Context, dir, name string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case exists(dir, name+".mute"):
			<-r.Context().Done()
		case r.URL.Path == "/readyz" && exists(dir, name+".unready"):
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})}
	temp := filepath.Join(dir, name+".addr.new")
	if err := os.WriteFile(temp, []byte(l.Addr().String()), 0o600); err != nil {
		return err
	}
	if err := os.Rename(temp, filepath.Join(dir, name+".addr")); err != nil {
		return err
	}
	go srv.Serve(l)
	<-ctx.Done()
	if err := note(dir, "stop "+name); err != nil {
		return err
	}
	return srv.Close()
}

// task fails while NAME.fail exists and does not end while NAME.hang exists.
func task(ctx context.Context, dir, name string) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for exists(dir, name+".hang") {
		select {
		case <-ctx.Done():
			return note(dir, "stop "+name)
		case <-tick.C:
		}
	}
	if exists(dir, name+".fail") {
		return fmt.Errorf("%s: the file that makes me fail exists", name)
	}
	return note(dir, "done "+name)
}

// superviseSpecs runs a supervisor until it is killed.
func superviseSpecs(dir, file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var specs []supervise.Spec
	if err := json.Unmarshal(b, &specs); err != nil {
		return err
	}
	s := supervise.New(filepath.Join(dir, "run"), supervise.DefaultTiming, slog.New(slog.DiscardHandler))
	if _, err := s.Reconcile(specs); err != nil {
		return err
	}
	select {}
}
