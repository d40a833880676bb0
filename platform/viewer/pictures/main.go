// Command pictures takes pictures of the viewer of a running mesh (MEESH_HOME), for
// README and documents, or with -all of every dashboard, to be looked at.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/datameesh/datameesh/platform/browser"
	"github.com/datameesh/datameesh/platform/local"
	"github.com/datameesh/datameesh/platform/render"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		os.Exit(1)
	}
}

// A shot is one picture.
type shot struct {
	name, path string
	width      int64
	dark       bool
}

func run(ctx context.Context) error {
	out := flag.String("out", "docs/pictures", "write into this folder")
	all := flag.Bool("all", false, "every dashboard, as an engineer sees it: wide, on a phone and dark")
	flag.Parse()
	dir, err := state.Find()
	if err != nil {
		return err
	}
	mesh, err := state.Load(dir)
	if err != nil {
		return err
	}
	store, err := secrets.Open(dir.Secrets())
	if err != nil {
		return err
	}
	shots := []shot{
		{"executive", "/d/executive-kpis", 1280, false},
		{"phone", "/d/sales-performance", 390, false},
	}
	name := "emma"
	if *all {
		name = "mike"
		shots = []shot{{"list", "/", 1280, false}, {"list-390", "/", 390, false}}
		dashboards, err := render.Load(os.DirFS(dir.Dashboards()))
		if err != nil {
			return err
		}
		for _, d := range dashboards {
			shots = append(shots, shot{d.UID, "/d/" + d.UID, 1280, false}, shot{d.UID + "-390", "/d/" + d.UID, 390, false}, shot{d.UID + "-dark", "/d/" + d.UID, 1280, true})
		}
	}
	password, err := store.Person(name)
	if err != nil {
		return err
	}
	b, err := browser.Start(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	base := fmt.Sprintf("http://localhost:%d", local.ViewerPort(mesh))
	if err := b.Login(base, name, password); err != nil {
		return err
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	for _, s := range shots {
		if err := errors.Join(b.Size(s.width, 800), b.Dark(s.dark), b.Open(base+s.path)); err != nil {
			return err
		}
		picture, err := b.Picture()
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if picture, err = small(picture); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		file := filepath.Join(*out, s.name+".png")
		if err := os.WriteFile(file, picture, 0o644); err != nil {
			return err
		}
		fmt.Println(file, len(picture))
	}
	return nil
}

// small makes a picture of at most 256 colours of it, the most frequent ones: pages
// have few, and it is a third as large.
func small(picture []byte) ([]byte, error) {
	decoded, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		return nil, err
	}
	count := map[color.RGBA]int{}
	bounds := decoded.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			count[color.RGBAModel.Convert(decoded.At(x, y)).(color.RGBA)]++
		}
	}
	var colours []color.RGBA
	for c := range count {
		colours = append(colours, c)
	}
	slices.SortFunc(colours, func(a, b color.RGBA) int { return count[b] - count[a] })
	var palette color.Palette
	for _, c := range colours[:min(len(colours), 256)] {
		palette = append(palette, c)
	}
	made := image.NewPaletted(bounds, palette)
	nearest := map[color.RGBA]uint8{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			c := color.RGBAModel.Convert(decoded.At(x, y)).(color.RGBA)
			i, known := nearest[c]
			if !known {
				i = uint8(palette.Index(c)) //nolint:gosec // of at most 256
				nearest[c] = i
			}
			made.SetColorIndex(x, y, i)
		}
	}
	var b bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, made)
	return b.Bytes(), err
}
