package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Lock takes an exclusive lock on a file, which it makes. When another process holds it,
// it calls waiting once with what that process wrote into the
// file, then waits. The lock ends with unlock or with the process.
func Lock(ctx context.Context, name, note string, waiting func(holder string)) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for told := false; ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			if !sameFile(f, name) {
				// The holder removed the file, and the whole mesh with it.
				_ = f.Close()
				return nil, fmt.Errorf("lock %s: the mesh was removed meanwhile; run this again", name)
			}
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		if !told {
			told = true
			holder, err := os.ReadFile(name)
			if err != nil {
				_ = f.Close()
				return nil, fmt.Errorf("lock: %w", err)
			}
			waiting(string(holder))
		}
		// Waiting in the kernel could not be given up when ctx ends.
		select {
		case <-tick.C:
		case <-ctx.Done():
			_ = f.Close()
			return nil, ctx.Err()
		}
	}
	if err := f.Truncate(0); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock: %w", err)
	}
	if _, err := f.WriteAt([]byte(note), 0); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock: %w", err)
	}
	return func() { _ = f.Close() }, nil
}

func sameFile(f *os.File, name string) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(name)
	return err == nil && os.SameFile(opened, there)
}
