package viewer

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/datameesh/datameesh/platform/topology"
)

// Sessions end after so long without a request, and at the latest after a working day.
const (
	sessionIdle = 2 * time.Hour
	sessionLife = 12 * time.Hour
	// mostSessions keeps who logs in again and again from filling the memory.
	mostSessions = 10_000
)

// Wrong passwords for one name: after so many, each costs a pause, which doubles.
const (
	freeTries  = 5
	firstPause = 2 * time.Second
	longPause  = 5 * time.Minute
	triesLive  = 15 * time.Minute
	mostNames  = 10_000
	// hashing is how many passwords are compared at once: each takes a processor.
	hashing = 2
	// mostWaiting are the tries that wait for that, or are compared; more are sent away.
	mostWaiting = 32
	// longestPassword in bytes: bcrypt does not look at more, so what follows would be free.
	longestPassword = 72
)

var (
	errWrong = errors.New("the name or the password is wrong")
	errFull  = errors.New("too many people are logged in; try again later")
	errBusy  = errors.New("too many people log in at this moment; try again in some seconds")
	errLong  = fmt.Errorf("a password has at most %d bytes; this one is longer", longestPassword)
)

// busyPause is how long who was sent away is asked to wait.
const busyPause = 2 * time.Second

// A PauseError tells when the name may be tried again.
type PauseError struct{ Wait time.Duration }

func (e *PauseError) Error() string {
	return fmt.Sprintf("too many wrong passwords; try again in %s", e.Wait.Round(time.Second))
}

type session struct {
	name        string
	line        [sha256.Size]byte // of the member when they came in
	begun, seen time.Time
}

// A member is somebody in the file of people, as it says now.
type member struct {
	topology.Person
	hash []byte            // of their password
	line [sha256.Size]byte // SHA-256 of their line: with another one, their sessions end
}

type tries struct {
	failed int
	last   time.Time
}

// A door lets people in: it knows where their passwords' hashes are, and who is inside.
type door struct {
	file  string // name:bcrypt:group:does lines
	now   func() time.Time
	slots chan struct{}
	queue chan struct{} // who waits for a slot or has one

	mu       sync.Mutex
	sessions map[[sha256.Size]byte]*session // by the SHA-256 of the token, so that memory holds none
	tries    map[string]tries
	recorded map[string]time.Time // of refusals that cost nothing, by name
}

func newDoor(file string) *door {
	return &door{file: file, now: time.Now, slots: make(chan struct{}, hashing), queue: make(chan struct{}, mostWaiting), sessions: map[[sha256.Size]byte]*session{}, tries: map[string]tries{}, recorded: map[string]time.Time{}}
}

// nobody is compared when there is no such name, so that this takes as long. Its
// password is random and known to nobody.
var nobody = sync.OnceValue(func() []byte {
	hash, err := bcrypt.GenerateFromPassword([]byte(rand.Text()), bcrypt.DefaultCost)
	if err != nil {
		panic(err) // rand.Text is short enough
	}
	return hash
})

// enter checks the password and gives the token of a new session.
func (d *door) enter(ctx context.Context, name, password string) (token string, err error) {
	if len(password) > longestPassword {
		return "", errLong
	}
	if wait := d.pause(name); wait > 0 { // who has to wait takes nobody's place
		return "", &PauseError{wait}
	}
	select {
	case d.queue <- struct{}{}:
		defer func() { <-d.queue }()
	default:
		return "", errBusy
	}
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	who, err := d.member(name)
	if err != nil {
		return "", err
	}
	hash := nobody()
	if who != nil {
		hash = who.hash
	}
	// Counted before it is compared: of many tries at once, which all came in before
	// the first was found wrong, no more are compared than one after the other.
	if wait := d.count(name, who != nil); wait > 0 {
		return "", &PauseError{wait}
	}
	err = bcrypt.CompareHashAndPassword(hash, []byte(password))
	if errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) || err == nil && who == nil {
		return "", errWrong
	}
	if err != nil {
		return "", fmt.Errorf("the hash of %s: %w", name, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.tries, name)
	d.sweep()
	if len(d.sessions) >= mostSessions {
		return "", errFull
	}
	token = rand.Text() + rand.Text()
	now := d.now()
	d.sessions[sha256.Sum256([]byte(token))] = &session{name, who.line, now, now}
	return token, nil
}

// member reads who has the name now; nil when nobody does.
func (d *door) member(name string) (*member, error) {
	text, err := os.ReadFile(d.file)
	if err != nil {
		return nil, fmt.Errorf("people: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 4)
		if parts[0] != name {
			continue
		}
		if len(parts) < 4 {
			return nil, fmt.Errorf("people: %s: the line of %s is no name:hash:group:does; \"meesh up\" writes it anew", d.file, name)
		}
		return &member{topology.Person{Name: name, Group: parts[2], Does: parts[3]}, []byte(parts[1]), sha256.Sum256([]byte(line))}, nil
	}
	return nil, nil
}

// pause is how long the name has to wait.
func (d *door) pause(name string) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.tries[name].pause(d.now())
}

func (t tries) pause(now time.Time) time.Duration {
	if t.failed < freeTries {
		return 0
	}
	return min(firstPause<<min(t.failed-freeTries, 16), longPause) - now.Sub(t.last)
}

// count takes a try for a wrong one, which enter takes back when it was right; or gives
// the pause that tries meanwhile have cost, and counts nothing.
func (d *door) count(name string, known bool) (wait time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	t := d.tries[name]
	if wait := t.pause(now); wait > 0 {
		return wait
	}
	if len(d.tries) >= mostNames { // somebody tries names: old ones are forgotten
		for n, t := range d.tries {
			if now.Sub(t.last) > triesLive {
				delete(d.tries, n)
			}
		}
	}
	if now.Sub(t.last) > triesLive {
		t.failed = 0
	}
	if known || len(d.tries) < mostNames {
		d.tries[name] = tries{t.failed + 1, now}
	}
	return 0
}

// unknown stands for names that nobody has: one may be a password in the wrong field.
const unknown = "(unknown)"

// called is the name as logs and the audit record may hold it.
func (d *door) called(name string) string {
	if who, err := d.member(name); err != nil || who == nil { // enter has said why
		return unknown
	}
	return name
}

// recordEvery is how often refusals of one name are recorded that cost who tries nothing.
const recordEvery = time.Minute

// worthRecording says whether such a refusal is recorded. The names are those of people
// and unknown, so they stay few.
func (d *door) worthRecording(called string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	if last, ok := d.recorded[called]; ok && now.Sub(last) < recordEvery {
		return false
	}
	d.recorded[called] = now
	return true
}

// inside finds whose session the token is of; nil without one. Who was removed, or has
// another password or group than when they came in, is not inside any more.
func (d *door) inside(token string) (*member, error) {
	key := sha256.Sum256([]byte(token))
	s := d.session(key)
	if s == nil {
		return nil, nil
	}
	who, err := d.member(s.name)
	if err != nil {
		return nil, err
	}
	if who == nil || who.line != s.line {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.sessions, key)
		return nil, nil
	}
	return who, nil
}

// session is the one of that key, which is seen by this; nil when it is over.
func (d *door) session(key [sha256.Size]byte) *session {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, ok := d.sessions[key]
	if !ok {
		return nil
	}
	now := d.now()
	if s.over(now) {
		delete(d.sessions, key)
		return nil
	}
	s.seen = now
	return s
}

func (s *session) over(now time.Time) bool {
	return now.Sub(s.seen) > sessionIdle || now.Sub(s.begun) > sessionLife
}

// leave ends the session.
func (d *door) leave(token string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.sessions, sha256.Sum256([]byte(token)))
}

// sweep removes sessions that are over. The caller holds the lock.
func (d *door) sweep() {
	now := d.now()
	for key, s := range d.sessions {
		if s.over(now) {
			delete(d.sessions, key)
		}
	}
}

// tag is a short name of a content, for addresses that change with it.
func tag(content string) string {
	sum := sha256.Sum256([]byte(content))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}
