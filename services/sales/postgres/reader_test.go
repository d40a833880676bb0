package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
)

// Every one of many parallel reads gets its own row, with few statements at once.
func TestParallelReadsShareStatements(t *testing.T) {
	var running atomic.Int64
	r := reader[int64]{read: func(_ context.Context, ids []int64) (map[int64]int64, error) {
		if running.Add(1) > maxRunning {
			t.Error("too many statements at once")
		}
		defer running.Add(-1)
		found := map[int64]int64{}
		for _, id := range ids {
			if id%7 != 0 {
				found[id] = -id
			}
		}
		return found, nil
	}}
	var readers sync.WaitGroup
	for n := range int64(64) {
		readers.Go(func() {
			for i := range int64(500) {
				id := 1 + (n*500+i)%1000
				row, err := r.get(t.Context(), id)
				if id%7 == 0 != errors.Is(err, pgx.ErrNoRows) || err == nil && row != -id {
					t.Errorf("read %d of %d: %v", row, id, err)
				}
			}
		})
	}
	readers.Wait()
	if r.waiting != nil || r.running != 0 {
		t.Errorf("%d statements still run", r.running)
	}
}

// A read waits for a statement that is quick, and goes beside one that is not, with
// all that waited meanwhile, also when nobody comes after them.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, goOn := make(chan []int64, 3), make(chan struct{})
		r := reader[int64]{read: func(_ context.Context, ids []int64) (map[int64]int64, error) {
			begun <- ids
			<-goOn
			found := map[int64]int64{}
			for _, id := range ids {
				found[id] = -id
			}
			return found, nil
		}}
		var readers sync.WaitGroup
		read := func(id int64) {
			readers.Go(func() {
				if row, err := r.get(t.Context(), id); err != nil || row != -id {
					t.Errorf("read %d of %d: %v", row, id, err)
				}
			})
			synctest.Wait()
		}
		read(1)
		if ids := <-begun; !slices.Equal(ids, []int64{1}) {
			t.Errorf("the first statement reads %v", ids)
		}
		read(2)
		read(3)
		if len(begun) > 0 {
			t.Errorf("a statement for %v did not wait for the first", <-begun)
		}
		time.Sleep(patience)
		synctest.Wait()
		if len(begun) != 1 {
			t.Fatalf("%d statements began when patience was over", len(begun))
		}
		if ids := <-begun; !slices.Equal(ids, []int64{2, 3}) {
			t.Errorf("the second statement reads %v", ids)
		}
		read(4)
		time.Sleep(patience)
		synctest.Wait()
		if len(begun) > 0 {
			t.Errorf("a third statement, for %v, is beside two", <-begun)
		}
		close(goOn)
		readers.Wait()
	})
}

// Who goes away leaves the others their rows; who waits may go away too.
func TestACallerWhoGoesAway(t *testing.T) {
	begun, goOn := make(chan struct{}, 10), make(chan struct{})
	r := reader[int64]{read: func(ctx context.Context, ids []int64) (map[int64]int64, error) {
		begun <- struct{}{}
		<-goOn
		return map[int64]int64{ids[0]: 1}, ctx.Err()
	}}
	ctx, leave := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for id := range int64(maxRunning) {
		readers.Go(func() {
			if _, err := r.get(ctx, id+1); !errors.Is(err, context.Canceled) && err != nil {
				t.Error(err)
			}
		})
		<-begun
	}
	leave()
	if _, err := r.get(ctx, 8); !errors.Is(err, context.Canceled) {
		t.Errorf("who left while waiting got %v", err)
	}
	readers.Go(func() {
		if row, err := r.get(t.Context(), 9); err != nil && !errors.Is(err, pgx.ErrNoRows) {
			t.Errorf("who stayed got %d, %v", row, err)
		}
	})
	close(goOn)
	readers.Wait()
}

// A failure reaches all who waited for it, and only them.
func TestAFailedReadIsToldToAll(t *testing.T) {
	failure := errors.New("planted")
	fails := true
	r := reader[int64]{read: func(_ context.Context, ids []int64) (map[int64]int64, error) {
		if fails {
			return nil, failure
		}
		return map[int64]int64{ids[0]: 1}, nil
	}}
	if _, err := r.get(t.Context(), 1); !errors.Is(err, failure) {
		t.Errorf("got %v", err)
	}
	fails = false
	if row, err := r.get(t.Context(), 1); err != nil || row != 1 {
		t.Errorf("got %d, %v", row, err)
	}
}

// Lists hold the ids and nothing else, whatever their number.
func TestAmong(t *testing.T) {
	for n := 1; n <= 40; n++ {
		var ids []int64
		for id := range int64(n) {
			ids = append(ids, id+1)
		}
		condition, args := among(ids)
		if array, ok := args[0].([]int64); ok {
			if n <= 16 || len(array) != n || condition != "= ANY ($1)" {
				t.Errorf("%d ids: %s of %v", n, condition, args)
			}
			continue
		}
		if n > 16 || strings.Count(condition, "$") != len(args) || len(args) < n || len(args) >= 2*n {
			t.Errorf("%d ids: %s of %v", n, condition, args)
		}
		for i, arg := range args {
			if arg != ids[min(i, n-1)] || !strings.Contains(condition, fmt.Sprintf("$%d", i+1)) {
				t.Errorf("%d ids: %s of %v", n, condition, args)
			}
		}
	}
}
