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

func TestOffset(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() //nolint:errcheck // held until the end
	port, err := freeport.New()
	if err != nil {
		t.Fatal(err)
	}
	one := func(_ int) map[int]string { return map[int]string{port: ""} }
	if offset, err := freeport.Offset(one); err != nil || offset != -19_000 {
		t.Errorf("with a free port: %d, %v", offset, err)
	}
	both := func(_ int) map[int]string {
		return map[int]string{port: "", taken.Addr().(*net.TCPAddr).Port: ""}
	}
	if offset, err := freeport.Offset(both); err == nil {
		t.Errorf("with one that is taken: %d", offset)
	}
}
