package postgres

import (
	"encoding/binary"
	"time"

	"github.com/datameesh/datameesh/services/apimetrics"
)

// copyLogs takes rows in the binary format of COPY, whose fields are in the
// order of appendRow.
const copyLogs = `
	COPY api_logs (served_at, service, route, method, status, duration_us, response_bytes, request_id, api_key)
	FROM STDIN (FORMAT binary)`

// copySize is the number of rows of one COPY. PostgreSQL 15 counts references to
// the shape of each buffered row in a way that takes the square of their number:
// four times 250 rows cost a quarter less than 1,000.
const copySize = 250

// rowsOf writes entries in the binary format of COPY (PostgreSQL's manual,
// "COPY", Binary Format). pgx would do it too, at four times the cost: it puts
// each value on the heap to look its type up. A log row costs as little as
// possible, because every request of every API pays for one.
func rowsOf(entries []apimetrics.Entry) []byte {
	rows := make([]byte, 0, 200*len(entries))
	rows = append(rows, "PGCOPY\n\xff\r\n\x00"...)
	rows = binary.BigEndian.AppendUint64(rows, 0) // no flags, no extension
	for _, e := range entries {
		rows = appendRow(rows, e)
	}
	return binary.BigEndian.AppendUint16(rows, 0xffff) // the end
}

var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

func appendRow(row []byte, e apimetrics.Entry) []byte {
	row = binary.BigEndian.AppendUint16(row, 9)
	row = appendBigint(row, e.ServedAt.UnixMicro()-epoch)
	row = appendText(row, e.Service)
	row = appendText(row, e.Route)
	row = appendText(row, e.Method)
	row = binary.BigEndian.AppendUint32(row, 2)
	row = binary.BigEndian.AppendUint16(row, uint16(e.Status))
	row = appendBigint(row, e.Duration)
	row = appendBigint(row, e.Bytes)
	row = appendText(row, e.RequestID)
	return appendText(row, e.KeyName)
}

func appendBigint(row []byte, n int64) []byte {
	row = binary.BigEndian.AppendUint32(row, 8)
	return binary.BigEndian.AppendUint64(row, uint64(n))
}

func appendText(row []byte, s string) []byte {
	row = binary.BigEndian.AppendUint32(row, uint32(len(s)))
	return append(row, s...)
}
