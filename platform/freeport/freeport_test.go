package freeport_test

import (
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/datameesh/datameesh/platform/freeport"
)

func TestNew(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		t.Fatal(err)
	}
	clients, err := strconv.Atoi(strings.Fields(string(text))[0])
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		port, err := freeport.New()
		if err != nil {
			t.Fatal(err)
		}
		if port >= clients {
			t.Fatalf("%d: the kernel gives ports from %d to clients", port, clients)
		}
		listener, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close() //nolint:errcheck // held, so that no port comes twice
	}
}
