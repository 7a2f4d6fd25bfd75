package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

// A result is what was measured of a workload.
type result struct {
	name    string
	n       uint64
	nsPerOp float64
	metrics []metric
}

// A metric is a figure beyond the time of an operation.
type metric struct {
	value float64
	unit  string
}

// percentiles are what is told of latencies.
var percentiles = []struct {
	part float64
	unit string
}{{0.5, "p50-ns/op"}, {0.9, "p90-ns/op"}, {0.99, "p99-ns/op"}, {0.999, "p99.9-ns/op"}, {1, "max-ns/op"}}

func newResult(w *workload, j *job, took time.Duration) *result {
	n := j.done.Load()
	r := &result{name: w.name, n: n, nsPerOp: float64(took) / float64(max(n, 1))}
	r.metrics = append(r.metrics, metric{float64(n) / took.Seconds(), w.unit})
	if sorted := j.sortedLatencies(); len(sorted) > 0 {
		for _, p := range percentiles {
			r.metrics = append(r.metrics, metric{float64(percentile(sorted, p.part)), p.unit})
		}
	}
	return r
}

// A writer writes results: lines as "go test -bench" prints them, which benchstat
// reads, or JSON objects.
type writer struct {
	out  io.Writer
	json bool
}

// header says what is measured on what.
func (w *writer) header(o *Options) error {
	config := configOf(o)
	if w.json {
		object := map[string]any{}
		for _, c := range config {
			object[c.key] = c.value
		}
		return json.NewEncoder(w.out).Encode(map[string]any{"config": object})
	}
	for _, c := range config {
		if _, err := fmt.Fprintf(w.out, "%s: %v\n", c.key, c.value); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) result(r *result) error {
	if w.json {
		object := map[string]any{"name": r.name, "n": r.n, "ns/op": r.nsPerOp}
		for _, m := range r.metrics {
			object[m.unit] = m.value
		}
		return json.NewEncoder(w.out).Encode(object)
	}
	line := fmt.Sprintf("Benchmark%s-%d\t%8d\t%10.1f ns/op", r.name, runtime.GOMAXPROCS(0), r.n, r.nsPerOp)
	for _, m := range r.metrics {
		line += fmt.Sprintf("\t%10.0f %s", m.value, m.unit)
	}
	_, err := fmt.Fprintln(w.out, line)
	return err
}

// A setting is a line before the results.
type setting struct {
	key   string
	value any
}

func configOf(o *Options) []setting {
	target := "in process"
	if o.Socket != "" {
		target = "socket"
	}
	list := []setting{
		{"goos", runtime.GOOS}, {"goarch", runtime.GOARCH}, {"pkg", "kivaloo/cmd/kivaloo/bench"}, {"cpu", processor()},
		{"target", target}, {"pairs", o.Pairs}, {"connections", o.Connections}, {"inflight", o.Inflight},
		{"time", o.Time.String()}, {"warmup", o.Warmup.String()}, {"seed", o.Seed},
	}
	if o.NoCheck {
		list = append(list, setting{"checked", "no"})
	}
	return list
}

// processor is the name of the processor, as the kernel tells it.
func processor() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "model name"); ok {
			return strings.TrimLeft(name, "\t :")
		}
	}
	return "unknown"
}
