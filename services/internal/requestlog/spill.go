package requestlog

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A spill keeps batches in files until the logger has them. One goroutine, the
// writer, appends; another, the reader, takes the oldest first. What both look
// at is guarded by the lock of the Client.
//
// It never calls fsync on a segment: what was written outlives the process,
// however it ends, and a crash of the machine costs at most what the kernel had
// not written yet, some 30 seconds. A torn end is found by its checksum.
type spill struct {
	dir     string
	limit   int64 // bytes of all segments
	segment int64 // bytes of one segment, more or less
	state   *state

	// Of the writer.
	write struct {
		at      position
		through int64 // number of entries ever appended
		file    *os.File
	}
	// Of the reader.
	read struct {
		at   position
		size int64 // of the batch there
		file *os.File
	}
	// Guarded.
	end   position // behind the last whole batch
	bytes int64    // of all segments
}

// A position is a byte in a segment.
type position struct{ segment, offset int64 }

const (
	maxSegment    = 4 << 20
	segmentSuffix = ".segment"
	stateFile     = "state"

	magic      = 0x6d657368 // "mesh"
	headerSize = 4 + 4 + 4 + 4 + 8 + idSize
	idSize     = 26
	// maxBody is far above what a batch needs: a larger length is no length.
	maxBody = 16 << 20
)

// errSpillFull says that a batch does not fit into the bytes that the spill may take.
var errSpillFull = errors.New("the spill has reached its limit")

// A batch is the body of a request to the logger, and the id under which the
// logger takes it once.
type batch struct {
	id      string
	entries int64
	through int64 // entries appended to the spill so far, this batch included
	body    []byte
}

func newID() string { return rand.Text() } // 26 characters, 130 random bits

// openSpill opens, or makes, the spill in dir and removes what the logger has
// done with; held is the number of entries left in it. Its error says that dir
// cannot be used, or is used by another process.
func openSpill(dir string, limit int64) (s *spill, held int64, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, 0, err
	}
	state, err := openState(filepath.Join(dir, stateFile))
	if err != nil {
		return nil, 0, err
	}
	s = &spill{dir: dir, limit: limit, segment: min(maxSegment, limit/4), state: state}
	if held, err = s.scan(); err != nil {
		return nil, 0, errors.Join(err, state.close())
	}
	return s, held, nil
}

func (s *spill) path(segment int64) string {
	return filepath.Join(s.dir, fmt.Sprintf("%016x%s", segment, segmentSuffix))
}

// segments lists the numbers of the segments on disk in their order.
func (s *spill) segments() ([]int64, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var numbers []int64
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), segmentSuffix); ok {
			n, err := strconv.ParseInt(name, 16, 64)
			if err != nil {
				return nil, fmt.Errorf("%s is no segment of a spill", e.Name())
			}
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// scan finds out what the segments hold. What the logger is done with is
// removed, and so is what cannot be read: the torn end of a process that was
// killed while it wrote.
func (s *spill) scan() (held int64, err error) {
	numbers, err := s.segments()
	if err != nil {
		return 0, err
	}
	done := s.state.get(counterAcked)
	s.write.through = done
	for _, n := range numbers {
		file, err := os.Open(s.path(n))
		if err != nil {
			return 0, err
		}
		var offset int64
		first := int64(-1) // where the first batch begins that is not done with
		for {
			b, size, err := readBatch(file, offset)
			if err != nil {
				break
			}
			if b.through > done && first < 0 {
				first = offset
			}
			s.write.through = max(s.write.through, b.through)
			offset += size
		}
		info, err := file.Stat()
		if err = errors.Join(err, file.Close()); err != nil {
			return 0, err
		}
		if rest := info.Size() - offset; rest > 0 {
			slog.Warn("the spill of the request log ends in the middle of a batch, as after kill -9 or a crash", "segment", file.Name(), "bytes", rest)
		}
		s.end = position{n + 1, 0} // what is there is not appended to
		if first < 0 {
			if err := os.Remove(s.path(n)); err != nil {
				return 0, err
			}
			continue
		}
		if err := os.Truncate(s.path(n), offset); err != nil {
			return 0, err
		}
		if s.bytes == 0 {
			s.read.at = position{n, first}
		}
		s.bytes += offset
	}
	if s.bytes == 0 {
		s.read.at = s.end
	}
	s.write.at = s.end
	// Were a batch in the middle lost, the reader would find out by the count.
	return s.write.through - done, nil
}

// append writes a batch at s.write.at; the reader sees it when the caller has
// set s.end. A failed write leaves nothing behind.
func (s *spill) append(b batch) (size int64, err error) {
	w := &s.write
	size = headerSize + int64(len(b.body))
	if w.at.offset > 0 && w.at.offset+size > s.segment {
		err := w.file.Close()
		w.file, w.at = nil, position{w.at.segment + 1, 0}
		if err != nil {
			return 0, err
		}
	}
	if w.file == nil {
		if w.file, err = os.OpenFile(s.path(w.at.segment), os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
			return 0, err
		}
	}
	header := make([]byte, headerSize)
	binary.BigEndian.PutUint32(header, magic)
	binary.BigEndian.PutUint32(header[4:], uint32(len(b.body)))
	binary.BigEndian.PutUint32(header[8:], uint32(b.entries))
	binary.BigEndian.PutUint64(header[16:], uint64(w.through+b.entries))
	copy(header[24:], b.id)
	binary.BigEndian.PutUint32(header[12:], checksum(header, b.body))
	// The header last: without it a part of a body is no batch, so readers stop
	// before it, and the next batch overwrites it.
	if _, err := w.file.WriteAt(b.body, w.at.offset+headerSize); err != nil {
		return 0, err
	}
	if _, err := w.file.WriteAt(header, w.at.offset); err != nil {
		return 0, err
	}
	w.at.offset += size
	w.through += b.entries
	return size, nil
}

// checksum is that of a batch in the file without the place where it stands.
func checksum(header, body []byte) uint32 {
	sum := crc32.Update(crc32.ChecksumIEEE(header[:12]), crc32.IEEETable, header[16:])
	return crc32.Update(sum, crc32.IEEETable, body)
}

// oldest gives the oldest batch that is not done with, which lies before end,
// and the bytes that were freed on the way to it.
func (s *spill) oldest(end position) (b batch, freed int64, err error) {
	r := &s.read
	for {
		if r.file == nil {
			r.file, err = os.Open(s.path(r.at.segment))
		}
		if err == nil {
			if b, r.size, err = readBatch(r.file, r.at.offset); err == nil {
				return b, freed, nil
			}
		}
		// The segment has been read to its end, or is not there any more; while
		// batches are appended to it, there is one to be read.
		if r.at.segment >= end.segment || !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, errTorn) {
			return b, freed, err
		}
		if r.file != nil {
			size, err := s.leave()
			if err != nil {
				return b, freed, err
			}
			freed += size
		}
		r.at = position{r.at.segment + 1, 0}
		err = nil
	}
}

// leave removes the segment that was read to its end and gives its size.
func (s *spill) leave() (size int64, err error) {
	file := s.read.file
	s.read.file = nil
	info, err := file.Stat()
	if err = errors.Join(err, file.Close()); err != nil {
		return 0, err
	}
	return info.Size(), os.Remove(s.path(s.read.at.segment))
}

// advance goes behind the batch that oldest gave.
func (s *spill) advance() {
	s.read.at.offset += s.read.size
}

var errTorn = errors.New("not a whole batch")

// readBatch gives the batch at the offset and its size in the file.
func readBatch(file io.ReaderAt, offset int64) (b batch, size int64, err error) {
	header := make([]byte, headerSize)
	switch n, err := file.ReadAt(header, offset); {
	case n == 0:
		return b, 0, err // io.EOF: behind the last batch
	case n < headerSize:
		return b, 0, fmt.Errorf("%w: %w", errTorn, err)
	}
	length := binary.BigEndian.Uint32(header[4:])
	if binary.BigEndian.Uint32(header) != magic || length > maxBody {
		return b, 0, errTorn
	}
	body := make([]byte, length)
	if n, err := file.ReadAt(body, offset+headerSize); n < len(body) {
		return b, 0, fmt.Errorf("%w: %w", errTorn, err)
	}
	if binary.BigEndian.Uint32(header[12:]) != checksum(header, body) {
		return b, 0, fmt.Errorf("%w: its checksum differs", errTorn)
	}
	return batch{
		id:      string(bytes.TrimRight(header[24:], "\x00")),
		entries: int64(binary.BigEndian.Uint32(header[8:])),
		through: int64(binary.BigEndian.Uint64(header[16:])),
		body:    body,
	}, headerSize + int64(length), nil
}

// close ends the use of the spill; what is in it stays.
func (s *spill) close() error {
	var errs []error
	for _, f := range []*os.File{s.write.file, s.read.file} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(append(errs, s.state.close())...)
}
