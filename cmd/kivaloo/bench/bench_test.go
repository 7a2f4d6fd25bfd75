package bench

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"kivaloo/mux/wire"
)

const testPairs = 1000

func testOptions(run string) Options {
	return Options{Pairs: testPairs, Connections: 1, Inflight: 64, Run: run, Time: 5 * time.Millisecond, Seed: 1,
		Out: io.Discard, Status: io.Discard}
}

// TestEveryWorkload runs all of them on both kinds of target, twice: on an empty
// store, and on one that a run has left.
func TestEveryWorkload(t *testing.T) {
	for _, c := range []struct {
		name   string
		target func(t *testing.T, o *Options)
	}{
		{"in process", func(t *testing.T, o *Options) { o.Dir = t.TempDir() + "/store" }},
		{"socket", func(t *testing.T, o *Options) { o.Socket = new(liar).serve(t) }},
		{"in process, three connections", func(t *testing.T, o *Options) { o.Dir, o.Connections = t.TempDir()+"/store", 3 }},
		{"socket, three connections", func(t *testing.T, o *Options) { o.Socket, o.Connections = new(liar).serve(t), 3 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := testOptions("")
			o.Warmup = time.Millisecond
			c.target(t, &o)
			for range 2 {
				var out bytes.Buffer
				o.Out = &out
				if err := Run(t.Context(), o); err != nil {
					t.Fatal(err)
				}
				for _, w := range workloads() {
					if !strings.Contains(out.String(), "\nBenchmark"+w.name+"-") {
						t.Errorf("no line of %s in:\n%s", w.name, &out)
					}
				}
			}
		})
	}
}

// TestWrongAnswersAreNoticed: whatever a server says that is not so ends the run.
func TestWrongAnswersAreNoticed(t *testing.T) {
	only := func(typ wire.Type, lie func(l *liar, req *wire.Request, answer []byte) []byte) func(*liar, int, *wire.Request, []byte) []byte {
		return func(l *liar, n int, req *wire.Request, answer []byte) []byte {
			if req.Type != typ || n <= testPairs { // the store is looked at and filled first
				return answer
			}
			return lie(l, req, answer)
		}
	}
	notDone := func(_ *liar, req *wire.Request, _ []byte) []byte {
		return wire.AppendStatus(nil, req.ID, wire.StatusNotDone)
	}
	for _, c := range []struct {
		name, run string
		lie       func(*liar, int, *wire.Request, []byte) []byte
	}{
		{"a write is not done", "update", only(wire.Set, notDone)},
		{"a pair is missing", "read", only(wire.Get, notDone)},
		{"the value of another pair", "read", only(wire.Get, func(l *liar, req *wire.Request, _ []byte) []byte {
			for key, value := range l.pairs {
				if key != string(req.Key) {
					return wire.AppendValue(nil, req.ID, []byte(value))
				}
			}
			return nil
		})},
		{"an acknowledged write is gone", "update,read", only(wire.Get, func(l *liar, req *wire.Request, _ []byte) []byte {
			return wire.AppendValue(nil, req.ID, []byte(l.old[string(req.Key)]))
		})},
		{"a value of the future", "mixed", only(wire.Get, func(_ *liar, req *wire.Request, _ []byte) []byte {
			return wire.AppendValue(nil, req.ID, append([]byte{0, 0, 1}, make([]byte, 37)...))
		})},
		{"a value is cut", "read", only(wire.Get, func(l *liar, req *wire.Request, _ []byte) []byte {
			return wire.AppendValue(nil, req.ID, []byte(l.pairs[string(req.Key)])[:39])
		})},
		{"an answer comes twice", "read", only(wire.Get, func(_ *liar, _ *wire.Request, answer []byte) []byte {
			return append(slices.Clone(answer), answer...)
		})},
		{"an answer to nothing", "read", only(wire.Get, func(_ *liar, req *wire.Request, _ []byte) []byte {
			return wire.AppendStatus(nil, 1<<40, wire.StatusDone)
		})},
		{"a damaged packet", "read", only(wire.Get, func(_ *liar, _ *wire.Request, answer []byte) []byte {
			answer[len(answer)-1]++
			return answer
		})},
		{"the connection ends", "read", only(wire.Get, func(*liar, *wire.Request, []byte) []byte { return nil })},
		{"a scan leaves a pair out", "extract", only(wire.Range, func(l *liar, req *wire.Request, _ []byte) []byte {
			for key := range l.pairs {
				delete(l.pairs, key)
				break
			}
			return l.scan(req)
		})},
		{"a scan ends early", "extract", only(wire.Range, func(_ *liar, req *wire.Request, _ []byte) []byte {
			return wire.End(wire.BeginRange(nil, req.ID, 0, nil), 0)
		})},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := testOptions(c.run)
			o.Time = time.Minute // a lie ends it at once
			o.Socket = (&liar{lie: c.lie}).serve(t)
			if err := Run(t.Context(), o); !errors.Is(err, ErrWrong) {
				t.Errorf("err = %v, want %v", err, ErrWrong)
			}
		})
	}
}

// TestStoreOfSomebodyElseIsLeftAlone: a benchmark writes to nothing but its own.
func TestStoreOfSomebodyElseIsLeftAlone(t *testing.T) {
	l := &liar{lie: func(_ *liar, _ int, req *wire.Request, answer []byte) []byte {
		if req.Type != wire.Range {
			t.Errorf("a %v was sent", req.Type)
		}
		return answer
	}}
	o := testOptions("")
	o.Socket = l.serve(t)
	l.pairs["a key"] = "a value"
	if err := Run(t.Context(), o); !errors.Is(err, ErrNotOurs) {
		t.Errorf("err = %v, want %v", err, ErrNotOurs)
	}
}

func TestInterruptEndsARun(t *testing.T) {
	for _, c := range []struct {
		name   string
		target func(o *Options)
	}{
		{"in process", func(o *Options) { o.Dir = t.TempDir() + "/store" }},
		{"socket", func(o *Options) { o.Socket = new(liar).serve(t) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			o := testOptions("read")
			o.Time = time.Hour
			c.target(&o)
			if err := Run(ctx, o); err == nil {
				t.Error("the run went on to its end")
			}
		})
	}
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		run  string
		want string
	}{
		{"mixed", "RandomMixed BatchMixed"},
		{"scan,bulk", "BulkInsert BulkUpdate BulkExtract Scan"},
		{"^durableput/.*=16$", "DurablePut/writers=16"},
		{"nothing", ""},
		{"(", ""},
	} {
		chosen, err := choose(c.run)
		var names []string
		for _, w := range chosen {
			names = append(names, w.name)
		}
		if got := strings.Join(names, " "); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q chooses %q, %v; want %q", c.run, got, err, c.want)
		}
	}
}

func TestPercentile(t *testing.T) {
	var sorted []time.Duration
	for i := range 1000 {
		sorted = append(sorted, time.Duration(i+1))
	}
	for part, want := range map[float64]time.Duration{0.5: 500, 0.99: 990, 0.999: 999, 1: 1000, 0: 1} {
		if got := percentile(sorted, part); got != want {
			t.Errorf("the %v percentile of 1 to 1000 is %d, want %d", part, got, want)
		}
	}
}
