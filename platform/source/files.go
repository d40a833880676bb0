package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// ParsePrefix reads s3://BUCKET/FOLDER/, or FOLDER/ of the bucket, and returns the
// folder with a slash at its end.
func ParsePrefix(s, bucket string) (string, error) {
	folder := s
	if rest, ok := strings.CutPrefix(s, "s3://"); ok {
		var of string
		if of, folder, _ = strings.Cut(rest, "/"); of != bucket {
			return "", invalid("%s: a source lies in the bucket %s: s3://%[2]s/FOLDER/", s, bucket)
		}
	}
	folder = strings.Trim(folder, "/")
	if folder == "" || path.Clean(folder) != folder || strings.HasPrefix(folder, "..") || strings.ContainsAny(folder, "'\"\\\r\n?#*") {
		return "", invalid("%q is no folder of the bucket %s; name one like s3://%[2]s/analytics/weather/", s, bucket)
	}
	return folder + "/", nil
}

// A Table is a folder of Parquet files with the same columns.
type Table struct {
	Name    string
	Folder  string // below the bucket, ends in a slash
	Columns []Column
	Files   int
	Rows    int64 // that the files say they have
}

// A Column of a table, with Trino's type.
type Column struct{ Name, Type string }

// Most files of one table whose footers are read.
const maxFiles = 1000

var folderName = regexp.MustCompile(`^[a-z0-9_]+$`)

// Tables reads what lies below a prefix: each folder there is a table, and files
// that lie in none are the table named name. It is an error when there is no
// Parquet file, when something else lies among them, or when the files of a
// table have different columns.
func Tables(ctx context.Context, client *minio.Client, bucket, prefix, name string) ([]Table, error) {
	ctx, cancel := context.WithCancel(ctx) // ends the listing after an error
	defer cancel()
	var tables []Table
	found := 0
	for o := range client.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if o.Err != nil {
			if minio.ToErrorResponse(o.Err).Code == "" {
				return nil, &UnreachableError{"the object store", o.Err}
			}
			return nil, fmt.Errorf("list s3://%s/%s: %w", bucket, prefix, o.Err)
		}
		rest := strings.TrimPrefix(o.Key, prefix)
		base := path.Base(o.Key)
		if strings.HasSuffix(o.Key, "/") || strings.HasPrefix(base, "_") || strings.HasPrefix(base, ".") {
			continue // folders, and what Hive takes for hidden: _SUCCESS
		}
		table, folder := name, prefix
		if sub, file, ok := strings.Cut(rest, "/"); ok {
			if strings.Contains(file, "/") {
				return nil, fmt.Errorf("s3://%s/%s lies two folders deep; a table is one folder of files (for partitions make an Iceberg table of them)", bucket, o.Key)
			}
			table, folder = strings.ToLower(strings.ReplaceAll(sub, "-", "_")), prefix+sub+"/"
			if !folderName.MatchString(table) {
				return nil, fmt.Errorf("folder %q cannot be the name of a table: use letters, digits, _ and -", sub)
			}
		}
		if found++; found > maxFiles {
			return nil, fmt.Errorf("more than %d files lie below s3://%s/%s; take fewer and larger ones", maxFiles, bucket, prefix)
		}
		columns, rows, err := readParquet(ctx, client, bucket, o.Key, o.Size)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(tables, func(t Table) bool { return t.Name == table })
		if i < 0 {
			i = len(tables)
			tables = append(tables, Table{Name: table, Folder: folder, Columns: columns})
		}
		t := &tables[i]
		if t.Folder != folder {
			return nil, fmt.Errorf("the folders %s and %s would be one table %s", t.Folder, folder, table)
		}
		if !slices.Equal(t.Columns, columns) {
			return nil, fmt.Errorf("s3://%s/%s has other columns than the files before it in its folder: %v, not %v", bucket, o.Key, columns, t.Columns)
		}
		t.Files++
		t.Rows += rows
	}
	if found == 0 {
		return nil, fmt.Errorf("no file lies below s3://%s/%s", bucket, prefix)
	}
	return tables, nil
}

func readParquet(ctx context.Context, client *minio.Client, bucket, key string, size int64) (columns []Column, rows int64, err error) {
	where := "s3://" + bucket + "/" + key
	object, err := client.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", where, err)
	}
	defer object.Close() //nolint:errcheck // only read
	columns, rows, err = ReadColumns(object, size)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", where, err)
	}
	return columns, rows, nil
}

// ReadColumns reads the columns and the number of rows of a Parquet file.
func ReadColumns(r io.ReaderAt, size int64) (columns []Column, rows int64, err error) {
	defer func() { // the library does not expect files by others
		if p := recover(); p != nil {
			err = fmt.Errorf("not a Parquet file that can be read: %v", p)
		}
	}()
	f, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, 0, fmt.Errorf("not a Parquet file that can be read: %w", err)
	}
	for _, field := range f.Root().Columns() {
		// Hive's names know no capitals.
		c := Column{Name: strings.ToLower(field.Name())}
		if slices.ContainsFunc(columns, func(other Column) bool { return other.Name == c.Name }) {
			return nil, 0, fmt.Errorf("two columns are called %q, but for capitals", c.Name)
		}
		if c.Name == "" || strings.ContainsAny(c.Name, ",;:\r\n\x00") {
			return nil, 0, fmt.Errorf("a column called %q cannot be in a Hive table", field.Name())
		}
		if c.Type, err = trinoType(field); err != nil {
			return nil, 0, fmt.Errorf("column %s: %w", c.Name, err)
		}
		columns = append(columns, c)
	}
	if len(columns) == 0 {
		return nil, 0, errors.New("it has no column")
	}
	return columns, f.NumRows(), nil
}

// trinoType is the type that Trino's Hive connector reads a column as.
func trinoType(c *parquet.Column) (string, error) {
	if c.Leaf() {
		t, err := leafType(c.Type())
		if err == nil && c.Repeated() { // an old form of a list
			t = "array(" + t + ")"
		}
		return t, err
	}
	children := c.Columns()
	logical := format.LogicalTypeValue(nil)
	if l := c.Type().LogicalType(); l != nil {
		logical = l.Value
	}
	switch logical.(type) {
	case *format.ListType:
		if len(children) != 1 {
			return "", errors.New("a list without elements")
		}
		element := children[0]
		if !element.Leaf() && len(element.Columns()) == 1 {
			element = element.Columns()[0]
		}
		t, err := trinoType(element)
		if err != nil {
			return "", err
		}
		return "array(" + t + ")", nil
	case *format.MapType:
		if len(children) != 1 || len(children[0].Columns()) != 2 {
			return "", errors.New("a map without key and value")
		}
		key, err := trinoType(children[0].Columns()[0])
		if err != nil {
			return "", err
		}
		value, err := trinoType(children[0].Columns()[1])
		return "map(" + key + ", " + value + ")", err
	}
	var fields []string
	for _, f := range children {
		t, err := trinoType(f)
		if err != nil {
			return "", err
		}
		fields = append(fields, Quote(strings.ToLower(f.Name()))+" "+t)
	}
	if len(fields) == 0 {
		return "", errors.New("a group without fields")
	}
	return "row(" + strings.Join(fields, ", ") + ")", nil
}

func leafType(t parquet.Type) (string, error) {
	if l := t.LogicalType(); l != nil {
		switch v := l.Value.(type) {
		case *format.StringType, *format.EnumType, *format.JsonType:
			return "varchar", nil
		case *format.DecimalType:
			if v.Precision > 38 {
				return "", fmt.Errorf("decimals of %d digits; Trino has 38", v.Precision)
			}
			return fmt.Sprintf("decimal(%d, %d)", v.Precision, v.Scale), nil
		case *format.DateType:
			return "date", nil
		case *format.TimestampType:
			return "timestamp(6)", nil
		case *format.IntType:
			switch {
			case v.BitWidth == 64 && !v.IsSigned:
				return "", errors.New("unsigned 64-bit numbers, which Trino lacks")
			case v.BitWidth == 64, v.BitWidth == 32 && !v.IsSigned:
				return "bigint", nil
			case v.BitWidth == 32, v.BitWidth == 16 && !v.IsSigned:
				return "integer", nil
			case v.BitWidth == 16, v.BitWidth == 8 && !v.IsSigned:
				return "smallint", nil
			}
			return "tinyint", nil
		case nil:
		default:
			return "", fmt.Errorf("type %s, which a Hive table lacks", l.String())
		}
	}
	switch t.Kind() {
	case parquet.Boolean:
		return "boolean", nil
	case parquet.Int32:
		return "integer", nil
	case parquet.Int64:
		return "bigint", nil
	case parquet.Int96:
		return "timestamp(6)", nil
	case parquet.Float:
		return "real", nil
	case parquet.Double:
		return "double", nil
	}
	return "varbinary", nil
}

// Quote makes an identifier of SQL.
func Quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// Create is the statement that makes the table in a schema: it refers to the
// files and leaves them where they are when it is dropped.
func (t Table) Create(catalog, schema, bucket string) string {
	var columns []string
	for _, c := range t.Columns {
		columns = append(columns, Quote(c.Name)+" "+c.Type)
	}
	return fmt.Sprintf("CREATE TABLE %s.%s.%s (%s) WITH (external_location = 's3://%s/%s', format = 'PARQUET')",
		Quote(catalog), Quote(schema), Quote(t.Name), strings.Join(columns, ", "), bucket, t.Folder)
}
