// Command images writes the mesh's own images that need no base as OCI archives.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/datameesh/datameesh/k8s/images"
)

func main() {
	root := flag.String("root", ".", "root of the repository")
	out := flag.String("out", "bin/images", "folder of the archives")
	platform := flag.String("platform", "", "only this one, as linux/amd64")
	only := flag.String("only", "", "only the image of this name")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	platforms := images.Platforms
	if *platform != "" {
		p, err := v1.ParsePlatform(*platform)
		if err != nil {
			fmt.Fprintln(os.Stderr, "images: -platform:", err)
			os.Exit(2)
		}
		platforms = []v1.Platform{*p}
	}
	if err := run(ctx, *root, *out, *only, platforms); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, root, out, only string, platforms []v1.Platform) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	var made int
	for _, image := range images.All {
		if only != "" && image.Name != only {
			continue
		}
		made++
		file, err := images.Write(ctx, root, out, image, platforms)
		if err != nil {
			return err
		}
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		fmt.Printf("%s\t%.1f MB\n", file, float64(info.Size())/1e6)
	}
	if made == 0 {
		return fmt.Errorf("no image is called %q", only)
	}
	return nil
}
