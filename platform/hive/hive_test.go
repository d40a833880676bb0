package hive

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/platform/fetch"
)

var update = flag.Bool("update", false, "write java/LocalMetastore.class anew")

// The committed class is the committed source, compiled.
func TestClassIsItsSource(t *testing.T) {
	javac, err := exec.LookPath("javac")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs javac (Debian: default-jdk-headless)")
		}
		t.Skip("not run: needs javac (Debian: default-jdk-headless)")
	}
	tree := lake(t)
	jars := filepath.Join(tree.Libraries, "*") + ":" + filepath.Join(tree.Metastore, "lib", "*")
	out := t.TempDir()
	cmd := exec.CommandContext(t.Context(), javac, "--release", "17", "-g:none", "-nowarn", "-proc:none", "-d", out, "-cp", jars, "java/LocalMetastore.java")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	want, err := os.ReadFile(filepath.Join(out, "LocalMetastore.class"))
	if err != nil {
		t.Fatal(err)
	}
	const committed = "java/LocalMetastore.class"
	if *update {
		if err := os.WriteFile(committed, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(committed); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not java/LocalMetastore.java compiled (%v); run: go generate ./hive", committed, err)
	}
}

func lake(t *testing.T) fetch.LakeTree {
	t.Helper()
	cache, err := fetch.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	tree, err := fetch.Lake(t.Context(), cache, fetch.VersityGW, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestCommandShowsNoSecret(t *testing.T) {
	c := Config{
		Home: "/h", Libraries: "/l", Java: "/j", Dir: t.TempDir(), Address: "127.0.0.1:1", DatabaseAddress: "127.0.0.1:2",
		Database: "d", DatabaseUser: "u", DatabasePassword: "the-password", S3SecretKey: "the-key",
	}
	cmd, err := c.Command()
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Join(cmd.Args, " ")
	if strings.Contains(line, "the-password") || strings.Contains(line, "the-key") || !strings.HasSuffix(line, "LocalMetastore 127.0.0.1 1 lake s3://datalake/lake") {
		t.Errorf("command line: %s", line)
	}
	site, err := os.ReadFile(filepath.Join(c.Dir, "conf", "metastore-site.xml"))
	if err != nil {
		t.Fatal(err)
	}
	// Whatever the file takes from the environment is there.
	for _, part := range strings.Split(string(site), "${env.")[1:] {
		name, _, _ := strings.Cut(part, "}")
		if name != "NAME" && !slices.ContainsFunc(cmd.Env, func(e string) bool { return strings.HasPrefix(e, name+"=") }) {
			t.Errorf("%s is not in the environment", name)
		}
	}
	again, err := c.Command()
	if err != nil || again.Version != cmd.Version || len(cmd.Version) != 16 {
		t.Errorf("versions %q, %q, %v", cmd.Version, again.Version, err)
	}
	if _, err := (Config{}).Command(); err == nil || !strings.Contains(err.Error(), "fetched") {
		t.Errorf("without programs: %v", err)
	}
}

// answering serves one connection with the bytes of answer.
func answering(t *testing.T, answer []byte) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		buf := make([]byte, 256)
		_, _ = conn.Read(buf)
		_, _ = conn.Write(answer)
		if answer == nil {
			_, _ = conn.Read(buf) // until the caller goes away
		}
	}()
	return l.Addr().String()
}

func message(kind uint32, method string, rest ...byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, kind)
	b = binary.BigEndian.AppendUint32(b, uint32(len(method)))
	b = append(b, method...)
	return append(binary.BigEndian.AppendUint32(b, 1), rest...)
}

// text is a Thrift string.
func text(s string) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...) }

func TestDatabases(t *testing.T) {
	const method = "get_all_databases"
	list := append([]byte{typeList, 0, 0, typeString, 0, 0, 0, 2}, append(text("default"), text("raw")...)...)
	exception := append([]byte{typeStruct, 0, 1, typeString, 0, 1}, text("database is away")...)
	broken := append([]byte{typeString, 0, 1}, text("getSubject is not supported")...)
	for name, c := range map[string]struct {
		answer []byte
		want   []string
		err    string
	}{
		"names":         {message(messageReply, method, append(list, typeStop)...), []string{"default", "raw"}, ""},
		"MetaException": {message(messageReply, method, exception...), nil, "database is away"},
		"internal":      {message(messageException, method, broken...), nil, "getSubject"},
		"cut off":       {message(messageReply, method, list[:12]...), nil, "EOF"},
		"another":       {[]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), nil, "not a metastore"},
		"nothing":       {[]byte{}, nil, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Databases(t.Context(), answering(t, c.answer))
			if c.err == "" && (err != nil || !slices.Equal(got, c.want)) {
				t.Errorf("got %v, %v", got, err)
			}
			if c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("got %v, want an error with %q", err, c.err)
			}
		})
	}
	// One that listens and is silent does not keep anybody.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Databases(ctx, answering(t, nil)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("silent: %v", err)
	}
}

// connect makes a database of its own and connects to it.
func connect(t *testing.T) *pgx.Conn {
	t.Helper()
	dsn := os.Getenv("TEST_DATABASE_URL")
	if dsn == "" {
		t.Fatal("TEST_DATABASE_URL is not set: run make test/unit, which starts a PostgreSQL")
	}
	admin, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	const name = "hive_schema_test"
	for _, s := range []string{`DROP DATABASE IF EXISTS ` + name + ` WITH (FORCE)`, `CREATE DATABASE ` + name} {
		if _, err := admin.Exec(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	config := admin.Config().Copy()
	config.Database = name
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background()
		_ = conn.Close(ctx)
		if _, err := admin.Exec(ctx, `DROP DATABASE `+name); err != nil {
			t.Error(err)
		}
		_ = admin.Close(ctx)
	})
	return conn
}

func TestInitSchema(t *testing.T) {
	conn, home := connect(t), lake(t).Metastore
	ctx := t.Context()

	// A script that fails in the middle leaves nothing.
	bad := filepath.Join(t.TempDir(), "scripts", "metastore", "upgrade", "postgres")
	if err := os.MkdirAll(bad, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bad, "hive-schema-3.1.0.postgres.sql"), []byte("CREATE TABLE half (n int); CREATE TABLE half (n int);"), 0o644); err != nil {
		t.Fatal(err)
	}
	if made, err := InitSchema(ctx, conn, filepath.Join(bad, "../../../..")); err == nil || made {
		t.Errorf("a broken script: %v %v", made, err)
	}
	if made, err := InitSchema(ctx, conn, home); err != nil || !made {
		t.Fatalf("first time: %v %v", made, err)
	}
	if made, err := InitSchema(ctx, conn, "/nonexistent"); err != nil || made {
		t.Errorf("second time: %v %v", made, err)
	}
	for _, c := range []struct{ damage, want string }{
		{`DROP TABLE "TBL_PRIVS"`, "73 of 74 tables"},
		{`UPDATE "VERSION" SET "SCHEMA_VERSION" = '2.3.0'`, "version 2.3.0"},
		{`DROP TABLE "VERSION"`, "something else"},
	} {
		if _, err := conn.Exec(ctx, c.damage); err != nil {
			t.Fatal(err)
		}
		if _, err := InitSchema(ctx, conn, home); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("after %s: %v, want %q", c.damage, err, c.want)
		}
	}
}
