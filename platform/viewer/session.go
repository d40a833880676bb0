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
	person      topology.Person
	begun, seen time.Time
}

type tries struct {
	failed int
	last   time.Time
}

// A door lets people in: it knows their passwords' hashes, and who is inside.
type door struct {
	file   string
	people map[string]topology.Person
	now    func() time.Time
	slots  chan struct{}

	mu       sync.Mutex
	sessions map[[32]byte]*session // by the SHA-256 of the token, so that memory holds none
	tries    map[string]tries
}

func newDoor(file string, people []topology.Person) *door {
	d := &door{file: file, people: map[string]topology.Person{}, now: time.Now, slots: make(chan struct{}, hashing), sessions: map[[32]byte]*session{}, tries: map[string]tries{}}
	for _, p := range people {
		d.people[p.Name] = p
	}
	return d
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
	hash, err := d.hash(name)
	if err != nil {
		return "", err
	}
	person, known := d.people[name]
	if hash == nil || !known {
		known, hash = false, nobody()
	}
	d.slots <- struct{}{}
	err = bcrypt.CompareHashAndPassword(hash, []byte(password))
	<-d.slots
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil || !known {
		d.fail(name)
		return "", errWrong
	}
	delete(d.tries, name)
	d.sweep()
	if len(d.sessions) >= mostSessions {
		return "", errFull
	}
	token = rand.Text() + rand.Text()
	now := d.now()
	d.sessions[sha256.Sum256([]byte(token))] = &session{person, now, now}
	return token, nil
}

// hash of the person's password; nil when there is none.
func (d *door) hash(name string) ([]byte, error) {
	text, err := os.ReadFile(d.file)
	if err != nil {
		return nil, fmt.Errorf("passwords: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if n, hash, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && n == name {
			return []byte(hash), nil
		}
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
func (d *door) fail(name string) {
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
	if _, known := d.people[name]; known || len(d.tries) < mostNames {
		d.tries[name] = tries{t.failed + 1, now}
	}
}

// inside finds whose session the token is of.
func (d *door) inside(token string) (topology.Person, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := sha256.Sum256([]byte(token))
	s, ok := d.sessions[key]
	if !ok {
		return topology.Person{}, false
	}
	now := d.now()
	if s.over(now) {
		delete(d.sessions, key)
		return topology.Person{}, false
	}
	s.seen = now
	return s.person, true
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
