package viewer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/datameesh/datameesh/platform/audit"
	"github.com/datameesh/datameesh/platform/render"
	"github.com/datameesh/datameesh/platform/report"
	"github.com/datameesh/datameesh/platform/topology"
)

const (
	cookie = "meesh_viewer"
	// largest body of a form, and of a request's head.
	largestForm   = 8 << 10
	largestHeader = 64 << 10
	// pages and files that are made at once; others wait.
	madeAtOnce = 6
	pageTime   = 60 * time.Second
)

// A server is the viewer while it runs.
type server struct {
	Config
	log   *slog.Logger
	set   *report.Set
	door  *door
	sheet string // address of the style sheet
	slots chan struct{}
}

// Run serves until the context ends.
func Run(ctx context.Context, c Config, log *slog.Logger) error {
	set, err := report.Connect(ctx, c.Sources, c.Lookup)
	if err != nil {
		return err
	}
	defer set.Close()
	s := newServer(c, set, log)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return err
	}
	h := &http.Server{
		Handler: s.handler(), MaxHeaderBytes: largestHeader, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: pageTime + 30*time.Second, IdleTimeout: 2 * time.Minute,
	}
	failed := make(chan error, 1)
	go func() { failed <- h.Serve(listener) }()
	weekly := make(chan struct{})
	go func() {
		defer close(weekly)
		s.mailWeekly(ctx)
	}()
	log.Info("serves", "address", c.Listen, "dashboards", len(c.Dashboards))
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	<-weekly
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return h.Shutdown(ending)
}

func newServer(c Config, set *report.Set, log *slog.Logger) *server {
	return &server{
		Config: c, log: log, set: set, door: newDoor(c.People),
		sheet: "/assets/" + tag(report.Style()) + ".css", slots: make(chan struct{}, madeAtOnce),
	}
}

// handler lists all addresses.
func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET "+s.sheet, s.style)
	mux.HandleFunc("GET /login", s.showLogin)
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("POST /logout", s.logout)
	mux.HandleFunc("GET /{$}", s.person(s.list))
	mux.HandleFunc("GET /d/{uid}", s.person(s.dashboard))
	mux.HandleFunc("GET /d/{uid}/{rest...}", s.person(s.below))
	mux.HandleFunc("/", s.person(func(w http.ResponseWriter, r *http.Request, p topology.Person) {
		s.say(w, r, p, http.StatusNotFound, "Not found", "There is no such page. All dashboards are on the first page.")
	}))
	// Forms are taken from our own pages alone.
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.say(w, r, topology.Person{}, http.StatusForbidden, "Refused", "This form was sent from another site. Open the page here and send it again.")
	}))
	return s.guard(cross.Handler(mux))
}

// guard sets what all answers have, and ends requests that panic with 500.
func (s *server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("Cache-Control", "no-store") // pages hold what not everybody may see
		defer func() {
			if fault := recover(); fault != nil {
				if err, ok := fault.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					panic(fault) // the server's own way to hang up
				}
				s.log.Error("a request failed", "path", r.URL.Path, "fault", fmt.Sprint(fault))
				http.Error(w, "This page failed. The log of mesh-viewer says why.", http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

func (s *server) style(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable") // its address changes with it
	_, _ = w.Write([]byte(report.Style()))
}

// person lets only people in, others to the log-in.
func (s *server) person(next func(http.ResponseWriter, *http.Request, topology.Person)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if c, err := r.Cookie(cookie); err == nil {
			p, err := s.door.inside(c.Value)
			if err != nil {
				s.log.Error("who is inside cannot be read", "error", err)
				w.Header().Set("Retry-After", "5")
				s.say(w, r, topology.Person{}, http.StatusServiceUnavailable, "Not now", "Who may read this cannot be checked now. The log of mesh-viewer says why.")
				return
			}
			if p != nil {
				next(w, r, p.Person)
				return
			}
		}
		http.Redirect(w, r, "/login?to="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
	}
}

// frame writes a whole page.
func (s *server) frame(w http.ResponseWriter, p topology.Person, status int, title string, body template.HTML) {
	f := report.Frame{Title: title, Person: p.Name, Does: p.Does, Body: body, Sheet: s.sheet, Notice: s.notice()}
	var b bytes.Buffer
	if err := report.WriteFrame(&b, f); err != nil {
		s.log.Error("a page cannot be written", "title", title, "error", err)
		http.Error(w, "This page failed. The log of mesh-viewer says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// notice says what these pages are.
func (s *server) notice() template.HTML {
	if s.Grafana != "" {
		return render1("grafana", s.Grafana)
	}
	return render1("no-grafana", nil)
}

// say writes a page of one sentence.
func (s *server) say(w http.ResponseWriter, r *http.Request, p topology.Person, status int, title, text string) {
	s.frame(w, p, status, title, render1("say", map[string]string{"Title": title, "Text": text, "Asked": r.URL.Path}))
}

// onlyHere keeps a log-in from leading to another site.
func onlyHere(to string) string {
	if !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") {
		return "/"
	}
	return to
}

func (s *server) showLogin(w http.ResponseWriter, r *http.Request) {
	s.loginForm(w, http.StatusOK, r.URL.Query().Get("to"), "", "")
}

func (s *server) loginForm(w http.ResponseWriter, status int, to, name, problem string) {
	s.frame(w, topology.Person{}, status, "Log in", render1("login", map[string]string{"To": onlyHere(to), "Name": name, "Problem": problem}))
}

func (s *server) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, largestForm)
	if err := r.ParseForm(); err != nil {
		s.loginForm(w, http.StatusBadRequest, "", "", "The form cannot be read.")
		return
	}
	name, to := strings.TrimSpace(r.PostForm.Get("name")), r.PostForm.Get("to")
	token, err := s.door.enter(r.Context(), name, r.PostForm.Get("password"))
	called := s.door.called(name)
	var pause *PauseError
	status := http.StatusUnauthorized
	switch {
	case errors.Is(err, context.Canceled): // nobody waits any more
		return
	case errors.As(err, &pause):
		w.Header().Set("Retry-After", strconv.Itoa(int(pause.Wait.Seconds())+1))
		status = http.StatusTooManyRequests
	case errors.Is(err, errBusy):
		w.Header().Set("Retry-After", strconv.Itoa(int(busyPause.Seconds())))
		status = http.StatusServiceUnavailable
	case errors.Is(err, errWrong), errors.Is(err, errFull), errors.Is(err, errLong):
	case err != nil:
		s.log.Error("log-in failed", "name", called, "error", err)
		s.loginForm(w, http.StatusServiceUnavailable, to, name, "Passwords cannot be checked now. The log of mesh-viewer says why.")
		return
	default:
		s.log.Info("log-in", "name", called)
		s.tell(r, called, audit.OK)
		// Not Secure: the mesh of one machine speaks HTTP, on the loopback interface alone.
		http.SetCookie(w, &http.Cookie{Name: cookie, Value: token, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(sessionLife.Seconds())})
		http.Redirect(w, r, onlyHere(to), http.StatusSeeOther)
		return
	}
	// Only wrong passwords of somebody's name have a pause that keeps them few: others
	// could push everything else out of the record.
	if errors.Is(err, errWrong) && called != unknown || s.door.worthRecording(called) {
		s.log.Warn("log-in refused", "name", called, "error", err)
		s.tell(r, called, audit.Refused)
	}
	s.loginForm(w, status, to, name, sentence(err))
}

// tell tells the audit record of a log-in; nobody waits for it.
func (s *server) tell(r *http.Request, name, outcome string) {
	if s.Audit.URL == "" {
		return
	}
	e := audit.Event{At: time.Now(), Who: name, Tool: audit.ToolViewer, Action: "login", Outcome: outcome}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		e.From = host
	}
	ctx := context.WithoutCancel(r.Context()) // it outlives the request
	go func() {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if err := s.Audit.Send(ctx, e); err != nil {
			s.log.Error("log-in is not in the audit record", "name", e.Who, "error", err)
		}
	}()
}

func sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

func (s *server) logout(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(cookie); err == nil {
		s.door.leave(c.Value)
	}
	http.SetCookie(w, &http.Cookie{Name: cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: -1})
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// reads says whether the person may see the dashboard.
func reads(p topology.Person, d render.Dashboard) bool {
	return slices.Contains(topology.GroupReads[p.Group], d.Folder)
}

// find gives the dashboard of that uid if the person may see it.
func (s *server) find(p topology.Person, uid string) *render.Dashboard {
	for i, d := range s.Dashboards {
		if d.UID == uid && reads(p, d) {
			return &s.Dashboards[i]
		}
	}
	return nil
}

func (s *server) list(w http.ResponseWriter, _ *http.Request, p topology.Person) {
	type folder struct {
		Title      string
		Dashboards []render.Dashboard
	}
	var folders []*folder
	for _, d := range s.Dashboards {
		if !reads(p, d) {
			continue
		}
		i := slices.IndexFunc(folders, func(f *folder) bool { return f.Title == d.FolderTitle })
		if i < 0 {
			i = len(folders)
			folders = append(folders, &folder{Title: d.FolderTitle})
		}
		folders[i].Dashboards = append(folders[i].Dashboards, d)
	}
	s.frame(w, p, http.StatusOK, "Dashboards", render1("list", folders))
}

// asked reads the address of a page.
func asked(r *http.Request) report.Request {
	query := r.URL.Query()
	a := report.Request{From: query.Get("from"), To: query.Get("to"), Values: map[string][]string{}}
	for name, values := range query {
		if variable, ok := strings.CutPrefix(name, "var-"); ok {
			a.Values[variable] = values
		}
	}
	return a
}

// produce runs what makes a page when a slot is free, so that many readers share the
// processors instead of all waiting for each other.
func (s *server) produce(r *http.Request, work func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(r.Context(), pageTime)
	defer cancel()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return work(ctx)
}

// failed answers a page that could not be made.
func (s *server) failed(w http.ResponseWriter, r *http.Request, p topology.Person, err error) {
	var input *report.InputError
	switch {
	case errors.As(err, &input):
		s.say(w, r, p, http.StatusBadRequest, "This cannot be shown", sentence(err))
	case errors.Is(err, context.Canceled): // nobody waits any more
	default:
		s.log.Error("a page cannot be made", "path", r.URL.Path, "error", err)
		s.say(w, r, p, http.StatusInternalServerError, "This page failed", "The log of mesh-viewer says why.")
	}
}

func (s *server) missing(w http.ResponseWriter, r *http.Request, p topology.Person, uid string) {
	if slices.ContainsFunc(s.Dashboards, func(d render.Dashboard) bool { return d.UID == uid }) {
		s.say(w, r, p, http.StatusForbidden, "Not for "+p.Name, "This dashboard is not among those that your role reads. Ask an engineer of the mesh.")
		return
	}
	s.say(w, r, p, http.StatusNotFound, "No such dashboard", "There is no dashboard of this name. All that you may read are on the first page.")
}

func (s *server) dashboard(w http.ResponseWriter, r *http.Request, p topology.Person) {
	d := s.find(p, r.PathValue("uid"))
	if d == nil {
		s.missing(w, r, p, r.PathValue("uid"))
		return
	}
	var body template.HTML
	err := s.produce(r, func(ctx context.Context) error {
		page, err := s.set.Open(ctx, *d, asked(r), time.Now())
		if err != nil {
			return err
		}
		body, err = page.Body(report.Look{
			Queries:   p.Group == topology.GroupSeesQueries,
			Dashboard: func(uid string) *render.Dashboard { return s.find(p, uid) },
		})
		return err
	})
	if err != nil {
		s.failed(w, r, p, err)
		return
	}
	s.frame(w, p, http.StatusOK, d.Title, body)
}

// below serves what a dashboard's address goes on with: its title, as Grafana's
// addresses have it, a panel as a file, or the report.
func (s *server) below(w http.ResponseWriter, r *http.Request, p topology.Person) {
	rest := r.PathValue("rest")
	folder, file := path.Split(rest)
	switch {
	case rest == "report.pdf":
		s.report(w, r, p)
	case folder == "panel/":
		s.panel(w, r, p, file)
	case folder == "": // /d/uid/its-title
		s.dashboard(w, r, p)
	default:
		s.say(w, r, p, http.StatusNotFound, "Not found", "There is no such page. All dashboards are on the first page.")
	}
}

func (s *server) report(w http.ResponseWriter, r *http.Request, p topology.Person) {
	d := s.find(p, r.PathValue("uid"))
	if d == nil {
		s.missing(w, r, p, r.PathValue("uid"))
		return
	}
	var b bytes.Buffer
	name := ""
	err := s.produce(r, func(ctx context.Context) error {
		page, err := s.set.Open(ctx, *d, asked(r), time.Now())
		if err != nil {
			return err
		}
		name = page.FileName("pdf")
		return page.PDF(&b)
	})
	if err != nil {
		s.failed(w, r, p, err)
		return
	}
	send(w, "application/pdf", name, b.Bytes())
}

// panel sends one panel: ID.csv, ID.png or ID.svg.
func (s *server) panel(w http.ResponseWriter, r *http.Request, p topology.Person, file string) {
	d := s.find(p, r.PathValue("uid"))
	if d == nil {
		s.missing(w, r, p, r.PathValue("uid"))
		return
	}
	number, format, _ := strings.Cut(file, ".")
	id, err := strconv.Atoi(number)
	types := map[string]string{"csv": "text/csv; charset=utf-8", "png": "image/png", "svg": "image/svg+xml"}
	if err != nil || types[format] == "" {
		s.say(w, r, p, http.StatusNotFound, "Not found", "A panel is there as .csv, .png or .svg.")
		return
	}
	var b bytes.Buffer
	var f *report.Figure
	err = s.produce(r, func(ctx context.Context) (err error) {
		if _, f, err = s.set.OpenPanel(ctx, *d, id, asked(r), time.Now()); err != nil || f == nil {
			return err
		}
		const width, height = 720, 400
		switch format {
		case "csv":
			return f.CSV(&b)
		case "png":
			return f.Titled(width, height).PNG(&b, render.Light, 2)
		}
		return f.Titled(width, height).SVGFile(&b)
	})
	switch {
	case err != nil:
		s.failed(w, r, p, err)
	case f == nil:
		s.say(w, r, p, http.StatusNotFound, "No such panel", "The dashboard has no panel of this number.")
	case f.Problem != "" && format == "csv": // an empty file would look like no data
		s.say(w, r, p, http.StatusServiceUnavailable, "No data", f.Problem)
	default:
		send(w, types[format], fileName(d.UID, f.Title, format), b.Bytes())
	}
}

// fileName of a panel: its dashboard and title in small letters.
func fileName(uid, title, format string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, title)
	for strings.Contains(clean, "--") {
		clean = strings.ReplaceAll(clean, "--", "-")
	}
	return uid + "-" + strings.Trim(clean, "-") + "." + format
}

func send(w http.ResponseWriter, contentType, name string, content []byte) {
	w.Header().Set("Content-Type", contentType)
	disposition := "inline"
	if strings.HasPrefix(contentType, "text/csv") {
		disposition = "attachment"
	}
	w.Header().Set("Content-Disposition", disposition+`; filename="`+name+`"`)
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	_, _ = w.Write(content)
}
