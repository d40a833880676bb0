//go:build crash

package crash

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// slowClients opens connections whose headers never end, and opens a new one
// for each that the server closes.
func slowClients(t *testing.T, v *service, n int) (stop func()) {
	t.Helper()
	addr := strings.TrimPrefix(v.base, "http://")
	ended := make(chan struct{})
	var clients, connected sync.WaitGroup
	connected.Add(n)
	for range n {
		clients.Go(func() {
			var once sync.Once
			for {
				conn, err := net.Dial("tcp", addr)
				if err != nil {
					t.Errorf("slow client: %v", err)
					once.Do(connected.Done)
					return
				}
				_, err = conn.Write([]byte("GET /v1/customers/1 HTTP/1.1\r\nHost: x\r\nX-Slow: "))
				once.Do(connected.Done)
				for err == nil {
					select {
					case <-ended:
						_ = conn.Close()
						return
					case <-time.After(200 * time.Millisecond):
						_, err = conn.Write([]byte("x"))
					}
				}
				_ = conn.Close()
			}
		})
	}
	connected.Wait()
	return func() { close(ended); clients.Wait() }
}
