package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// How often what others log is looked at.
const (
	everyLog        = time.Second
	everyRequestLog = 15 * time.Second
)

// Run keeps the record until the context ends: it takes events by HTTP, and
// reads the logs that the configuration names.
func Run(ctx context.Context, c Config, token, key string, log *slog.Logger) (err error) {
	record, err := Open(c.Dir, []byte(key), DefaultLimits)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, record.Close()) }()
	// A reader of its own account for a mesh-audit that was away is the logs
	// themselves; of what senders could not send they know.
	h := &handler{record: record, token: token, log: log}
	server := &http.Server{
		Addr: c.Listen, Handler: h.routes(),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		err = errors.Join(err, server.Shutdown(ctx))
	}()
	f, err := newFollower(c, record, log)
	if err != nil {
		return err
	}
	logs, requests := time.NewTicker(everyLog), time.NewTicker(everyRequestLog)
	defer logs.Stop()
	defer requests.Stop()
	for {
		select {
		case <-ctx.Done():
			f.serverLogs()
			return f.save()
		case err := <-failed:
			return fmt.Errorf("listen on %s: %w", c.Listen, err)
		case <-logs.C:
			f.serverLogs()
		case <-requests.C:
			f.requestLogs(ctx)
			f.grafana(ctx)
		}
		if err := errors.Join(f.save(), record.Sync()); err != nil {
			log.Error("not written", "error", err)
		}
	}
}

// A follower reads logs from where it was before.
type follower struct {
	config  Config
	record  *Record
	log     *slog.Logger
	readers map[string]*logReader
	file    string
	saved   []byte
	said    map[string]string // error by source, said once
	// Places says how far each log was read.
	Places struct {
		Logs        map[string]position `json:"logs"`
		RequestLogs map[string]cursor   `json:"request_logs"`
		Grafana     sessionCursor       `json:"grafana"`
		Trino       position            `json:"trino"`
	}
}

func newFollower(c Config, record *Record, log *slog.Logger) (*follower, error) {
	f := &follower{config: c, record: record, log: log, readers: map[string]*logReader{}, said: map[string]string{}, file: filepath.Join(c.Dir, "places.json")}
	text, err := os.ReadFile(f.file)
	if err == nil {
		err = json.Unmarshal(text, &f.Places)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w; removed, all logs are read again from their beginning", f.file, err)
	}
	f.saved = text
	if f.Places.Logs == nil {
		f.Places.Logs = map[string]position{}
	}
	if f.Places.RequestLogs == nil {
		f.Places.RequestLogs = map[string]cursor{}
	}
	for _, l := range c.Logs {
		f.readers[l.Server] = newLogReader(l, f.Places.Logs[l.Server])
	}
	return f, nil
}

// trouble logs an error of a source when it is another than before.
func (f *follower) trouble(source string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if f.said[source] != text {
		if f.said[source] = text; err != nil {
			f.log.Warn("cannot be read", "source", source, "error", err)
		} else {
			f.log.Info("can be read again", "source", source)
		}
	}
}

func (f *follower) serverLogs() {
	for _, l := range f.config.Logs {
		r := f.readers[l.Server]
		events, err := r.follow(l.File)
		if err == nil && len(events) > 0 {
			err = f.record.Append(events...)
		}
		f.trouble(l.Server, err)
		if err != nil {
			// Read again, by a reader that knows nothing of it.
			f.readers[l.Server] = newLogReader(l, f.Places.Logs[l.Server])
			continue
		}
		f.Places.Logs[l.Server] = r.done()
	}
	if f.config.TrinoLog != "" {
		f.trouble("trino", f.trinoLog())
	}
}

func (f *follower) trinoLog() error {
	at := f.Places.Trino
	text, replaced, err := at.read(f.config.TrinoLog)
	if err != nil {
		return err
	}
	events := append(unsentEvents(text), refusedLogIns(text)...)
	if replaced != nil {
		events = append(events, *replaced)
	}
	if len(events) > 0 {
		if err := f.record.Append(events...); err != nil {
			return err
		}
	}
	at.Offset += int64(len(text))
	f.Places.Trino = at
	return nil
}

func (f *follower) requestLogs(ctx context.Context) {
	for _, l := range f.config.RequestLogs {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		events, to, err := l.keyUses(ctx, f.Places.RequestLogs[l.Database])
		cancel()
		if err == nil && len(events) > 0 {
			err = f.record.Append(events...)
		}
		f.trouble(l.Database, err)
		if err == nil {
			f.Places.RequestLogs[l.Database] = to
		}
	}
}

func (f *follower) grafana(ctx context.Context) {
	if f.config.Grafana == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	events, to, err := f.config.Grafana.logins(ctx, f.Places.Grafana)
	if err == nil && len(events) > 0 {
		err = f.record.Append(events...)
	}
	f.trouble("grafana", err)
	if err == nil {
		f.Places.Grafana = to
	}
}

// save notes how far the logs were read, after the record holds it.
func (f *follower) save() error {
	text, err := json.Marshal(f.Places)
	if err != nil || bytes.Equal(text, f.saved) {
		return err
	}
	if err := os.WriteFile(f.file+".new", text, 0o600); err != nil {
		return err
	}
	if err := os.Rename(f.file+".new", f.file); err != nil {
		return err
	}
	f.saved = text
	return nil
}
