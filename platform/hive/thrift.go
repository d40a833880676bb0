package hive

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Databases asks the metastore at address (host:port) for its databases, which
// it reads from its own database. A metastore that merely listens, as one on
// too new a Java does, fails this call.
func Databases(ctx context.Context, address string) ([]string, error) {
	var names []string
	err := call(ctx, address, "get_all_databases", func(r *reader) error {
		field, kind := r.field()
		switch {
		case r.err != nil:
			return r.err
		case kind == typeStruct && field == 1: // MetaException
			return errors.New(r.exception())
		case kind != typeList || field != 0:
			return fmt.Errorf("unexpected answer: field %d of kind %d", field, kind)
		}
		if element := r.byte(); element != typeString {
			return fmt.Errorf("unexpected answer: a list of kind %d", element)
		}
		for n := r.int32(); n > 0 && r.err == nil; n-- {
			names = append(names, r.string())
		}
		return r.err
	})
	if err != nil {
		return nil, err
	}
	return names, nil
}

// Alive asks the metastore for its status, which needs neither its database
// nor the object store.
func Alive(ctx context.Context, address string) error {
	return call(ctx, address, "getStatus", func(*reader) error { return nil })
}

// callTimeout limits a call whose context has no deadline.
const callTimeout = 30 * time.Second

// Kinds of values and messages of Thrift's binary protocol.
const (
	typeStop   = 0
	typeString = 11
	typeStruct = 12
	typeList   = 15

	messageCall      = 0x80010001
	messageReply     = 0x80010002
	messageException = 0x80010003
)

// call calls a function without arguments and hands what the result holds to
// answer. These two calls need little of the protocol; the generated client of
// the metastore has 100,000 lines.
func call(ctx context.Context, address, method string, answer func(*reader) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("metastore %s: %s: %w", address, method, err)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()

	message := binary.BigEndian.AppendUint32(nil, messageCall)
	message = binary.BigEndian.AppendUint32(message, uint32(len(method)))
	message = append(message, method...)
	message = binary.BigEndian.AppendUint32(message, 1) // sequence number
	message = append(message, typeStop)                 // no arguments
	if _, err := conn.Write(message); err != nil {
		return because(ctx, err)
	}
	r := &reader{r: bufio.NewReader(conn)}
	kind := uint32(r.int32())
	r.string() // the method again
	r.int32()  // the sequence number again
	switch {
	case r.err != nil:
		return because(ctx, r.err)
	case kind == messageException:
		return errors.New(r.exception())
	case kind != messageReply:
		return fmt.Errorf("what listens there is not a metastore (it answers %#x)", kind)
	}
	return because(ctx, answer(r))
}

// because is the end of the context when that made a call fail.
func because(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("no answer: %w", ctx.Err())
	}
	return err
}

// A reader reads values of Thrift's binary protocol and keeps the first error.
type reader struct {
	r   io.Reader
	err error
}

func (r *reader) bytes(n int) []byte {
	if r.err != nil {
		return make([]byte, n)
	}
	b := make([]byte, n)
	_, r.err = io.ReadFull(r.r, b)
	return b
}

func (r *reader) byte() byte   { return r.bytes(1)[0] }
func (r *reader) int32() int32 { return int32(binary.BigEndian.Uint32(r.bytes(4))) }

func (r *reader) string() string {
	n := r.int32()
	if r.err == nil && (n < 0 || n > 1<<20) {
		r.err = fmt.Errorf("what listens there is not a metastore (a text of %d bytes)", n)
	}
	if r.err != nil {
		return ""
	}
	return string(r.bytes(int(n)))
}

// field reads the head of a field of a struct.
func (r *reader) field() (number int16, kind byte) {
	if kind = r.byte(); kind == typeStop {
		return 0, typeStop
	}
	return int16(binary.BigEndian.Uint16(r.bytes(2))), kind
}

// exception is the text of an exception, its field 1.
func (r *reader) exception() string {
	if number, kind := r.field(); number == 1 && kind == typeString {
		if text := r.string(); r.err == nil && text != "" {
			return text
		}
	}
	return "an error without a text; its log says more"
}
