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
		if refused = listen(port); refused == nil {
			return port, nil
		}
	}
	return 0, errors.Join(fmt.Errorf("no free port from %d to %d in 100 tries", first, last), refused)
}

// Offset gives an offset of a mesh with which all of its ports are free, below
// those that the kernel gives to clients. ports are the mesh's with an offset.
func Offset(ports func(offset int) map[int]string) (int, error) {
	var taken error
	for offset := -19_000; offset < -1_000; offset += 1_000 {
		if taken = Check(ports(offset)); taken == nil {
			return offset, nil
		}
	}
	return 0, errors.Join(errors.New("no port offset is free"), taken)
}

// Check says which of the ports is taken; nil when all are free.
func Check(ports map[int]string) error {
	for port := range ports {
		if err := listen(port); err != nil {
			return err
		}
	}
	return nil
}

// listen says why nobody can listen on the port; nil when somebody can.
func listen(port int) error {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return listener.Close()
}
