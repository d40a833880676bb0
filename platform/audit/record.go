package audit

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// An Entry is an event as the record keeps it. Seq counts all that were ever
// kept, from 1.
type Entry struct {
	Seq int64 `json:"seq"`
	Event
}

// Limits of the record. Whole files go, the oldest first, and the record says so.
type Limits struct {
	FileBytes int64         // a file that is larger is followed by another; a day has one at least
	Bytes     int64         // of all files
	Keep      time.Duration // age of a file
}

// DefaultLimits keep a year, or a gigabyte: some three million events.
var DefaultLimits = Limits{FileBytes: 64 << 20, Bytes: 1 << 30, Keep: 365 * 24 * time.Hour}

// remembered is how many IDs are known, so that what is sent twice is kept once.
const remembered = 20000

// ErrInUse tells that another process appends to the record.
var ErrInUse = errors.New("another mesh-audit appends to this record")

// A Record is the open record: a folder of files, a line of JSON per event, each
// with a code over itself and the one before. Whoever changes, removes or adds a
// line later without the key is found by Verify.
type Record struct {
	mu     sync.Mutex
	dir    string
	key    []byte
	limits Limits
	now    func() time.Time
	lock   *os.File
	file   *os.File
	name   string // of file
	size   int64  // of file
	seq    int64
	mac    string // of the last line
	ids    map[string]bool
	order  []string // of ids, oldest first
	dirty  bool
	// damaged says which line was found to be none when the record was opened.
	damaged string
}

// Open opens the record in the folder, and makes it when there is none. A last
// line that was not finished was confirmed to nobody, and goes.
func Open(dir string, key []byte, limits Limits) (r *Record, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("open the audit record: %w", err)
		}
	}()
	if len(key) == 0 {
		return nil, errors.New("no key")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	r = &Record{dir: dir, key: key, limits: limits, now: time.Now, ids: map[string]bool{}}
	if r.lock, err = os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, err
	}
	if err := unix.Flock(int(r.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(ErrInUse, r.lock.Close())
	}
	files, err := recordFiles(dir)
	if err != nil {
		return nil, errors.Join(err, r.lock.Close())
	}
	for _, f := range files[max(0, len(files)-2):] {
		if err := r.load(f); err != nil {
			return nil, errors.Join(err, r.lock.Close())
		}
	}
	if r.damaged != "" {
		if err := r.Append(Event{Who: "mesh-audit", Tool: ToolAudit, Action: "open", Outcome: Failed, Detail: r.damaged}); err != nil {
			return nil, errors.Join(err, r.lock.Close())
		}
	}
	return r, nil
}

// load makes the file that to be appended to, and learns its IDs.
func (r *Record) load(f recordFile) error {
	if r.file != nil {
		if err := r.file.Close(); err != nil {
			return err
		}
	}
	file, err := os.OpenFile(filepath.Join(r.dir, f.name), os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	r.file, r.name, r.size = file, f.name, 0
	lines := bufio.NewReaderSize(file, 64<<10)
	for {
		text, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		entry, mac, _, err := parse(text)
		if err != nil {
			// No reason to stop: Verify finds it for ever, and it is said.
			r.damaged = fmt.Sprintf("%s after byte %d: %v", f.name, r.size, err)
		} else {
			r.seq, r.mac = entry.Seq, mac
			r.remember(entry.ID)
		}
		r.size += int64(len(text))
	}
	if err := file.Truncate(r.size); err != nil {
		return err
	}
	_, err = file.Seek(r.size, io.SeekStart)
	return err
}

func (r *Record) remember(id string) {
	if id == "" || r.ids[id] {
		return
	}
	r.ids[id] = true
	if r.order = append(r.order, id); len(r.order) > remembered {
		delete(r.ids, r.order[0])
		r.order = r.order[1:]
	}
}

// Append adds the events, all or none. What it returns for is written, so that
// it outlives this process; Sync makes it outlive the machine.
func (r *Record) Append(events ...Event) (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.rotate(); err != nil {
		return fmt.Errorf("append to the audit record: %w", err)
	}
	return r.append(events)
}

func (r *Record) append(events []Event) (err error) {
	var text bytes.Buffer
	seq, mac := r.seq, r.mac
	var ids []string
	for _, e := range events {
		e = e.clean()
		if e.At.IsZero() {
			e.At = r.now().UTC().Truncate(time.Microsecond)
		}
		if r.ids[e.ID] && e.ID != "" || slices.Contains(ids, e.ID) && e.ID != "" {
			continue
		}
		ids = append(ids, e.ID)
		seq++
		body, err := json.Marshal(Entry{seq, e})
		if err != nil {
			return err
		}
		mac = code(r.key, mac, body)
		text.Write(seal(body, mac))
	}
	if text.Len() == 0 {
		return nil
	}
	if _, err := r.file.Write(text.Bytes()); err != nil {
		// Half a line would end the record for good.
		_, seekErr := r.file.Seek(r.size, io.SeekStart)
		return errors.Join(fmt.Errorf("append to the audit record: %w", err), r.file.Truncate(r.size), seekErr)
	}
	r.size += int64(text.Len())
	r.seq, r.mac, r.dirty = seq, mac, true
	for _, id := range ids {
		r.remember(id)
	}
	return nil
}

// rotate opens the file of the day when it is not open, and drops old ones.
func (r *Record) rotate() error {
	day := r.now().UTC().Format(time.DateOnly)
	if r.file != nil && strings.HasPrefix(r.name, "audit-"+day) && r.size < r.limits.FileBytes {
		return nil
	}
	n := 0
	if f, ok := parseFileName(r.name); ok && f.day >= day { // the clock may have been set back
		day, n = f.day, f.n+1
	}
	name := fmt.Sprintf("audit-%s.%03d.jsonl", day, n)
	file, err := os.OpenFile(filepath.Join(r.dir, name), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	// The new one is taken over first: it would be in the way of the next attempt else.
	before := r.file
	r.file, r.name, r.size = file, name, 0
	if before != nil {
		if err := errors.Join(before.Sync(), before.Close()); err != nil {
			return fmt.Errorf("end the file before %s: %w", name, err)
		}
	}
	return r.drop()
}

// drop removes files that are too old or too many, and says so in the record.
func (r *Record) drop() error {
	files, err := recordFiles(r.dir)
	if err != nil {
		return err
	}
	var total int64
	for _, f := range files {
		total += f.bytes
	}
	oldest := r.now().UTC().Add(-r.limits.Keep).Format(time.DateOnly)
	for _, f := range files {
		if f.name == r.name || f.day >= oldest && total <= r.limits.Bytes {
			break
		}
		if err := r.append([]Event{{Who: "mesh-audit", Tool: ToolAudit, Action: "drop", Object: f.name, Outcome: OK,
			Detail: fmt.Sprintf("%d bytes; files are kept for %d days, and %d bytes of them", f.bytes, int(r.limits.Keep.Hours()/24), r.limits.Bytes)}}); err != nil {
			return err
		}
		if err := os.Remove(filepath.Join(r.dir, f.name)); err != nil {
			return err
		}
		total -= f.bytes
	}
	return nil
}

// Sync writes what was appended to the disk.
func (r *Record) Sync() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.dirty || r.file == nil {
		return nil
	}
	if err := r.file.Sync(); err != nil {
		return fmt.Errorf("sync the audit record: %w", err)
	}
	r.dirty = false
	return nil
}

// Close ends appending.
func (r *Record) Close() error {
	err := r.Sync()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file != nil {
		err = errors.Join(err, r.file.Close())
	}
	return errors.Join(err, r.lock.Close())
}

// code is over a line without its code and the code of the line before.
func code(key []byte, before string, body []byte) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(before))
	h.Write(body)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

const macField = `,"mac":"`

// seal makes a line of an entry's JSON and its code.
func seal(body []byte, mac string) []byte {
	l := slices.Clone(body[:len(body)-1])
	return append(l, macField+mac+"\"}\n"...)
}

// parse takes a line apart; body is what its code is over.
func parse(text []byte) (entry Entry, mac string, body []byte, err error) {
	at := bytes.LastIndex(text, []byte(macField))
	rest, ok := bytes.CutSuffix(text, []byte("\"}\n"))
	if at < 0 || !ok || at+len(macField) > len(rest) {
		return entry, "", nil, errors.New("a line that is no event")
	}
	mac = string(rest[at+len(macField):])
	body = append(slices.Clone(text[:at]), '}')
	if err := json.Unmarshal(body, &entry); err != nil {
		return entry, "", nil, fmt.Errorf("a line that is no event: %w", err)
	}
	return entry, mac, body, nil
}

type recordFile struct {
	name  string
	day   string
	n     int
	bytes int64
}

var fileName = regexp.MustCompile(`^audit-(\d{4}-\d{2}-\d{2})\.(\d{3,})\.jsonl$`)

func parseFileName(name string) (recordFile, bool) {
	m := fileName.FindStringSubmatch(name)
	if m == nil {
		return recordFile{}, false
	}
	n, err := strconv.Atoi(m[2])
	return recordFile{name: name, day: m[1], n: n}, err == nil
}

// recordFiles are the files of the record, oldest first; none without a folder.
func recordFiles(dir string) ([]recordFile, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var files []recordFile
	for _, e := range entries {
		f, ok := parseFileName(e.Name())
		if !ok {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // dropped meanwhile
		}
		if err != nil {
			return nil, err
		}
		f.bytes = info.Size()
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b recordFile) int {
		if c := strings.Compare(a.day, b.day); c != 0 {
			return c
		}
		return a.n - b.n
	})
	return files, nil
}
