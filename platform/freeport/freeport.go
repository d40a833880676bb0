// Package freeport finds TCP ports for the servers that tests and benchmarks start.
package freeport

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// The ports lie below those that the kernel gives to clients
// (ip_local_port_range, ip(7): from 32768), or a connection of another test
// might take one before its server does; and outside of the mesh's own.
const first, last = 14_000, 24_999

// New gives a port on which nobody listens on 127.0.0.1. Two programs asking at
// once get the same one once in some thousand times.
func New() (int, error) {
	var refused error
	for range 100 {
		port := first + rand.IntN(last-first+1)
		listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, listener.Close()
		}
		refused = err
	}
	return 0, errors.Join(fmt.Errorf("no free port from %d to %d in 100 tries", first, last), refused)
}
