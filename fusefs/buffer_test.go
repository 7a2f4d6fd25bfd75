package fusefs

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestBufferIsAFile compares a buffer over a value with a file in memory, under
// random writes and truncations, parted in two layers at a random place.
func TestBufferIsAFile(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		value := randomBytes(rng, rng.IntN(100))
		file := bytes.Clone(value)
		layers := [2]buffer{newBuffer(), newBuffer()}
		split := rng.IntN(12)
		for step := range 12 {
			layer := 0
			below := int64(len(value))
			if step >= split {
				layer = 1
				below = layers[0].size(below)
			}
			file = randomStep(rng, &layers[layer], file, below)
		}
		if got := contents(&layers[1], contents(&layers[0], value)); !bytes.Equal(got, file) {
			t.Fatalf("two layers: %x, want %x", got, file)
		}
		whole := layers[1].onto(layers[0])
		if got := contents(&whole, value); !bytes.Equal(got, file) {
			t.Fatalf("one over the other: %x, want %x", got, file)
		}
	}
}

func randomStep(rng *rand.Rand, b *buffer, file []byte, below int64) []byte {
	if rng.IntN(3) == 0 {
		size := rng.IntN(150)
		b.truncate(int64(size), below)
		return resize(file, size)
	}
	off, data := rng.IntN(100), randomBytes(rng, 1+rng.IntN(40))
	b.write(int64(off), data)
	file = resize(file, max(len(file), off+len(data)))
	copy(file[off:], data)
	return file
}

// contents is what a file holds whose value and buffer these are.
func contents(b *buffer, value []byte) []byte {
	file := make([]byte, b.size(int64(len(value))))
	copy(file, value[:b.below(int64(len(value)))])
	b.overlay(0, file)
	return file
}

func randomBytes(rng *rand.Rand, n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(1 + rng.IntN(255))
	}
	return data
}

func resize(file []byte, size int) []byte {
	next := make([]byte, size)
	copy(next, file)
	return next
}
