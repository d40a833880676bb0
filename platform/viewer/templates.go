package viewer

import (
	"bytes"
	_ "embed" // templates
	"html/template"
)

//go:embed pages.html
var pagesText string

var pages = template.Must(template.New("pages").Parse(pagesText))

// render1 is what one template writes.
func render1(name string, data any) template.HTML {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		panic(err) // a template and its data are of one piece
	}
	return template.HTML(b.String()) //nolint:gosec // written by a template
}
