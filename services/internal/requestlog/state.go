package requestlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
)

// A state is a few counters in a file that is mapped into memory: writing one
// costs a store, and is in the file at once as far as other processes, such as
// the next one of the service, are concerned. A process that is killed
// therefore leaves the exact number of requests that it served.
//
// All counters are totals since the file was made.
type state struct {
	file   *os.File
	memory []byte
}

// The counters, by place.
const (
	counterServed   = 8 * iota // requests
	counterAcked               // entries of the spill that are done with: stored, refused or lost
	counterRefused             // those among them that were not stored
	counterDirectly            // entries that the logger got without the spill, while its disk was full
	counters
)

// stateSize is one page, written when the file is made: a mapped file without
// blocks would kill the process when the disk is full.
const stateSize = 4096

// openState opens, or makes, the file and keeps other processes from it.
func openState(path string) (_ *state, err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, fmt.Errorf("%s is in use: give each process a SPILL_DIR of its own: %w", path, err)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() < stateSize {
		if _, err := file.WriteAt(make([]byte, stateSize-info.Size()), info.Size()); err != nil {
			return nil, err
		}
		if err := file.Sync(); err != nil {
			return nil, err
		}
	}
	memory, err := syscall.Mmap(int(file.Fd()), 0, stateSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s into memory: %w", path, err)
	}
	return &state{file, memory[:counters]}, nil
}

func (s *state) get(counter int) int64 {
	return int64(binary.NativeEndian.Uint64(s.memory[counter:]))
}

func (s *state) set(counter int, value int64) {
	binary.NativeEndian.PutUint64(s.memory[counter:], uint64(value))
}

// close writes the file out and lets others have it.
func (s *state) close() error {
	memory := s.memory[:cap(s.memory)]
	s.memory = nil
	return errors.Join(syscall.Munmap(memory), s.file.Sync(), s.file.Close())
}
