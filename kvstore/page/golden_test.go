package page

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

// The format is final: these files must be readable for ever.
func TestGoldenPages(t *testing.T) {
	inner, err := SealInner(2, []byte("\x00a"), nil, sampleChildren())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data  []byte
		level int
	}{
		"leaf-v1":    {mustSealLeaf(t, []byte("\x00users"), []byte("\x00users0"), plainEntries(5)), 0},
		"leaf-plain": {mustSealLeaf(t, []byte("\x01"), nil, sampleEntries()), 0},
		"inner":      {inner, 2},
	} {
		file := filepath.Join("testdata", name+".page")
		if *update {
			if err := os.WriteFile(file, c.data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		golden, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(golden, c.data) {
			t.Errorf("%s: sealing gives other bytes", name)
		}
		if err := mustOpen(t, golden, c.level).Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
