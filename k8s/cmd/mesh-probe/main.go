// Command mesh-probe listens on ports and tells which addresses it can reach, for "meesh k8s verify".
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// greeting is what a listening probe says: nobody else is taken for one.
const greeting = "mesh-probe\n"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch {
	case len(os.Args) > 2 && os.Args[1] == "serve":
		if err := serve(ctx, os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "mesh-probe:", err)
			os.Exit(1)
		}
	case len(os.Args) > 2 && os.Args[1] == "dial":
		dial(ctx, os.Stdout, os.Args[2:])
	case len(os.Args) == 2 && os.Args[1] == "dial":
		if err := dialLines(ctx, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "mesh-probe:", err)
			os.Exit(1)
		}
	default:
		fmt.Fprintln(os.Stderr, "usage: mesh-probe serve PORT… | mesh-probe dial HOST:PORT… | mesh-probe dial, with lines of them on stdin")
		os.Exit(2)
	}
}

// serve greets whoever connects to one of the ports.
func serve(ctx context.Context, ports []string) error {
	for _, port := range ports {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", ":"+port)
		if err != nil {
			return err
		}
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Write([]byte(greeting)) // who asks sees whether it came
				_ = conn.Close()
			}
		}()
	}
	<-ctx.Done()
	return nil
}

// timeout of one connection. An enforcer may drop packets instead of refusing them.
const timeout = 1500 * time.Millisecond

// dialLines dials the addresses of each line that it reads.
func dialLines(ctx context.Context, from io.Reader, to io.Writer) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		dial(ctx, to, strings.Fields(lines.Text()))
	}
	return lines.Err()
}

// dial prints a line per address: "open", "probe" when a probe answered, "refused" or "timeout".
func dial(ctx context.Context, to io.Writer, addresses []string) {
	answers := make([]string, len(addresses))
	limit := make(chan struct{}, 64)
	var wg sync.WaitGroup
	for i, address := range addresses {
		wg.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			answers[i] = try(ctx, address)
		})
	}
	wg.Wait()
	var text strings.Builder
	for i, address := range addresses {
		fmt.Fprintln(&text, address, answers[i])
	}
	_, _ = io.WriteString(to, text.String()) // who asked has gone
}

func try(ctx context.Context, address string) string {
	dialer := net.Dialer{Timeout: timeout}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		netErr, isNet := errors.AsType[net.Error](err)
		dnsErr, isDNS := errors.AsType[*net.DNSError](err)
		switch {
		case isDNS:
			return "no-name:" + strings.ReplaceAll(dnsErr.Err, " ", "-")
		case isNet && netErr.Timeout():
			return "timeout"
		}
		return "refused"
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return "open"
	}
	b := make([]byte, len(greeting))
	if n, err := conn.Read(b); err == nil && string(b[:n]) == greeting {
		return "probe"
	}
	return "open"
}
