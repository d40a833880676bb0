package viewer

import (
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
)

var (
	errWrong = errors.New("the name or the password is wrong")
	errFull  = errors.New("too many people are logged in; try again later")
)

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

	mu       sync.Mutex
	sessions map[[sha256.Size]byte]*session // by the SHA-256 of the token, so that memory holds none
	tries    map[string]tries
}

func newDoor(file string) *door {
	return &door{file: file, now: time.Now, slots: make(chan struct{}, hashing), sessions: map[[sha256.Size]byte]*session{}, tries: map[string]tries{}}
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
func (d *door) enter(name, password string) (token string, err error) {
	if wait := d.pause(name); wait > 0 {
		return "", &PauseError{wait}
	}
	who, err := d.member(name)
	if err != nil {
		return "", err
	}
	hash := nobody()
	if who != nil {
		hash = who.hash
	}
	d.slots <- struct{}{}
	err = bcrypt.CompareHashAndPassword(hash, []byte(password))
	<-d.slots
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil || who == nil {
		d.fail(name, who != nil)
		return "", errWrong
	}
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

func (d *door) pause(name string) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tries[name]
	if t.failed < freeTries {
		return 0
	}
	pause := min(firstPause<<min(t.failed-freeTries, 16), longPause)
	return pause - d.now().Sub(t.last)
}

// fail counts a wrong password. The caller holds the lock.
func (d *door) fail(name string, known bool) {
	now := d.now()
	if len(d.tries) >= mostNames { // somebody tries names: old ones are forgotten
		for n, t := range d.tries {
			if now.Sub(t.last) > triesLive {
				delete(d.tries, n)
			}
		}
	}
	t := d.tries[name]
	if now.Sub(t.last) > triesLive {
		t.failed = 0
	}
	if known || len(d.tries) < mostNames {
		d.tries[name] = tries{t.failed + 1, now}
	}
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
