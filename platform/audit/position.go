package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// A position in a log file.
type position struct {
	Inode  uint64 `json:"inode"`
	Offset int64  `json:"offset"`
}

// read returns the whole lines behind the position, which the caller moves; none
// when the file was never written. replaced tells of a file that is not the one
// that was read before, which is read from its beginning.
func (p *position) read(file string) (text []byte, replaced *Event, err error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) && *p == (position{}) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	inode := inodeOf(info)
	if p.Inode != 0 && p.Inode != inode || info.Size() < p.Offset {
		replaced = &Event{Who: "mesh-audit", Tool: ToolAudit, Action: "gap", Object: filepath.Base(file), Outcome: Failed,
			Detail: fmt.Sprintf("the log was replaced or cut off after byte %d: what it said behind that is lost", p.Offset)}
		p.Offset = 0
	}
	p.Inode = inode
	const most = 8 << 20 // at once
	text, err = io.ReadAll(io.NewSectionReader(f, p.Offset, min(info.Size()-p.Offset, most)))
	if err != nil {
		return nil, nil, err
	}
	end := bytes.LastIndexByte(text, '\n') + 1
	if end == 0 && len(text) == most { // a line that long is nothing that we know
		p.Offset += most
	}
	return text[:end], replaced, nil
}

// inodeOf tells a file from another of the same name.
func inodeOf(info fs.FileInfo) uint64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Ino
	}
	return 0
}
