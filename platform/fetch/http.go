package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// stall is how long a server may be silent. A mirror that first fetches the file
// itself needs its time.
const stall = 2 * time.Minute

var errStalled = errors.New("no data for " + stall.String())

// request asks for a file from the byte on. An answer other than 200 or 206 is an
// error whose text is for people. The caller closes the body; alive is to be
// called whenever data came.
func request(ctx context.Context, url string, from int64) (resp *http.Response, alive func(), err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(stall, func() { cancel(errStalled) })
	defer func() {
		if err != nil {
			timer.Stop()
			if errors.Is(context.Cause(ctx), errStalled) {
				err = errStalled
			}
			cancel(nil)
		}
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, err
	}
	if from > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	resp, err = http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	resp.Body = &ended{resp.Body, func() { timer.Stop(); cancel(nil) }}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusPartialContent {
		_ = resp.Body.Close()
		return nil, nil, &answer{resp.StatusCode, url}
	}
	return resp, func() { timer.Reset(stall) }, nil
}

// ended is a body that frees what belongs to its request.
type ended struct {
	io.ReadCloser
	free func()
}

func (e *ended) Close() error {
	defer e.free()
	return e.ReadCloser.Close()
}

// An answer is a refusal of a server.
type answer struct {
	status int
	url    string
}

func (a *answer) Error() string {
	return fmt.Sprintf("%s answers %d %s", a.url, a.status, http.StatusText(a.status))
}

// downloadByHTTP downloads the file that pkg.Coordinates names. What an
// interrupted download left in the cache is continued; the name of the rest
// holds the checksum, so it is continued only by the same file.
func downloadByHTTP(ctx context.Context, work string, pkg Package, t *tracker) (_ string, err error) {
	fail := func(problem string, err error) (string, error) {
		if ctx.Err() != nil {
			return "", wrap(ctx, pkg, "", ctx.Err())
		}
		return "", &Error{pkg.String(), problem, pkg.fix, err}
	}
	folder := filepath.Join(filepath.Dir(filepath.Dir(work)), ".partial")
	if err := makeFolders(folder); err != nil {
		return "", wrap(ctx, pkg, "cannot write the cache folder", err)
	}
	partial := filepath.Join(folder, pkg.dir()+"-"+pkg.SHA256[:16])
	var have int64
	if info, err := os.Stat(partial); err == nil {
		have = info.Size()
	}
	resp, alive, err := request(ctx, pkg.Coordinates, have)
	if refusal, ok := errors.AsType[*answer](err); ok && refusal.status == http.StatusRequestedRangeNotSatisfiable && have > 0 {
		// All of it is there, or too much; the checksum will tell.
		return finish(ctx, work, partial, pkg)
	}
	if err != nil {
		return fail("it cannot be downloaded", err)
	}
	defer func() { _ = resp.Body.Close() }()
	how := os.O_APPEND
	if resp.StatusCode == http.StatusOK { // from the beginning: this server cannot continue
		how, have = os.O_TRUNC, 0
	}
	file, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|how, 0o644)
	if err != nil {
		return "", wrap(ctx, pkg, "cannot write the cache folder", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	total := have + resp.ContentLength
	if resp.ContentLength < 0 {
		total = 0 // not known
	}
	t.step(Downloading, total, "")
	t.set(have)
	body := &heard{Reader: resp.Body, alive: alive}
	_, err = io.Copy(file, watched{ctx, body, t})
	switch {
	case body.err != nil:
		return fail(fmt.Sprintf("the download was cut off after %s of %s; what is there is kept and continued next time", megabytes(t.bytes()), megabytes(total)), body.err)
	case err != nil:
		return "", wrap(ctx, pkg, "the download stopped", err)
	}
	return finish(ctx, work, partial, pkg)
}

// finish moves a whole download to where it is verified; one that turns out to be
// corrupted is deleted there, and begun anew next time.
func finish(ctx context.Context, work, partial string, pkg Package) (string, error) {
	file := filepath.Join(work, filepath.Base(pkg.Coordinates))
	if err := os.Rename(partial, file); err != nil {
		return "", wrap(ctx, pkg, "cannot move the download", err)
	}
	return file, nil
}

// heard is a reader that tells when data came, and keeps the error that ended it.
type heard struct {
	io.Reader
	alive func()
	err   error
}

func (h *heard) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	if n > 0 {
		h.alive()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		h.err = err
	}
	return n, err
}

// publishedSum reads the checksum in the file beside another: 64 hexadecimal digits,
// perhaps followed by the file's name.
func publishedSum(ctx context.Context, url string) (string, error) {
	resp, _, err := request(ctx, url, 0)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return "", err
	}
	fields := strings.Fields(string(text))
	if len(fields) == 0 || !isSum(fields[0]) {
		return "", fmt.Errorf("%s holds no SHA-256 sum: %q", url, firstLine(string(text), ""))
	}
	return strings.ToLower(fields[0]), nil
}
