package service

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// Every thread yields, those that start later too.
func TestNiceHoldsForAllThreads(t *testing.T) {
	if err := Nice(1); err != nil {
		t.Fatal(err)
	}
	var started, ended sync.WaitGroup
	leave := make(chan struct{})
	for range 8 {
		started.Add(1)
		ended.Go(func() {
			runtime.LockOSThread()
			started.Done()
			<-leave
		})
	}
	started.Wait()
	defer func() { close(leave); ended.Wait() }()
	threads, err := filepath.Glob("/proc/self/task/*/stat")
	if err != nil || len(threads) < 8 {
		t.Fatalf("%d threads, %v", len(threads), err)
	}
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if os.IsNotExist(err) {
			continue // it has ended
		}
		if err != nil {
			t.Fatal(err)
		}
		_, fields, _ := strings.Cut(string(text), ") ") // proc(5): the 19th is the nice value, the 3rd comes next
		if nice := strings.Fields(fields)[19-3]; nice != "1" {
			t.Errorf("%s has the nice value %s", thread, nice)
		}
	}
}
