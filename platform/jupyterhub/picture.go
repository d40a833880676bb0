package jupyterhub

import (
	"bytes"
	"fmt"
	"image/color"
	"image/png"
)

// Colours counts the colours of a PNG picture, on a grid of every third pixel: a
// plot that shows nothing has one or two.
func Colours(picture []byte) (int, error) {
	decoded, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		return 0, fmt.Errorf("picture: %w", err)
	}
	colours := map[color.Color]bool{}
	bounds := decoded.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y += 3 {
		for x := bounds.Min.X; x < bounds.Max.X; x += 3 {
			colours[decoded.At(x, y)] = true
		}
	}
	return len(colours), nil
}
