package service

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// Nice lets the program yield to others: n is what setpriority(2) takes, from 0
// to 19, the higher the more it yields. Priority belongs to threads on Linux and
// passes on to the threads that they start, so all that are there are set until
// no new one shows up.
func Nice(n int) error {
	for known := 0; ; {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("lower the priority: %w", err)
		}
		if len(threads) == known {
			return nil
		}
		known = len(threads)
		for _, thread := range threads {
			id, err := strconv.Atoi(thread.Name())
			if err == nil {
				err = syscall.Setpriority(syscall.PRIO_PROCESS, id, n)
			}
			if err != nil && !errors.Is(err, syscall.ESRCH) { // it has ended
				return fmt.Errorf("lower the priority of thread %s: %w", thread.Name(), err)
			}
		}
	}
}
