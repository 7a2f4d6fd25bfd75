package bench

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// A socketFigure is a workload of kivaloo bench, and what was measured of it
// before, in operations a second.
type socketFigure struct {
	workload string
	// original is what Tarsnap's kivaloo has reached: with its own client, 4096 in
	// flight on one connection, 2^20 pairs, durable. It was measured on a machine
	// of this kind; it cannot be run beside.
	original float64
	// reference is what our client reached with the calibrating server when the
	// machine was quiet. Where it reaches less today the machine is slower today,
	// and so would be the original: its figure is scaled by that.
	reference float64
}

var socketFigures = []socketFigure{
	{"BulkInsert", 614e3, 6.2e6},
	{"BulkUpdate", 848e3, 6.2e6},
	{"BulkExtract", 191e3, 21e6},
	{"RandomRead", 463e3, 2.3e6},
	{"RandomMixed", 56e3, 2.0e6},
	{"HotSpotRead", 758e3, 3.2e6},
}

// BenchmarkSocket runs each of the original's workloads against the server and
// against the one that only answers, in turns.
func BenchmarkSocket(b *testing.B) {
	bin := buildPrograms(b)
	server := startServer(b, bin)
	calibration := startCalibration(b, bin)
	for _, f := range socketFigures {
		b.Run(f.workload, func(b *testing.B) {
			var rates, calibrations []float64
			for range b.N {
				rates = append(rates, measure(b, bin, f.workload, server))
				calibrations = append(calibrations, measure(b, bin, f.workload, calibration, "--no-check"))
			}
			f.report(b, median(rates), median(calibrations))
		})
	}
}

func (f *socketFigure) report(b *testing.B, rate, calibration float64) {
	b.ReportMetric(0, "ns/op") // an op here is a round, which says nothing
	b.ReportMetric(rate, "kivaloo-ops/s")
	b.ReportMetric(calibration, "calibration-ops/s")
	b.ReportMetric(rate/calibration, "x-calibration")
	b.ReportMetric(rate/f.original, "x-original")
	b.ReportMetric(rate/(f.original*calibration/f.reference), "x-scaled")
}

// buildPrograms builds what is run, and answers the folder.
func buildPrograms(b *testing.B) string {
	b.Helper()
	bin := b.TempDir()
	for folder, pkg := range map[string]string{"../..": "./cmd/kivaloo", ".": "./calibrate"} {
		cmd := exec.Command("go", "build", "-o", bin, pkg)
		cmd.Dir = folder // each module knows its own dependencies only
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("build %s: %v\n%s", pkg, err, out)
		}
	}
	return bin
}

// startServer serves a new store until the benchmark ends, and answers its address.
func startServer(b *testing.B, bin string) string {
	b.Helper()
	dir, err := os.MkdirTemp(*dirFlag, "kivaloo-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	addr := filepath.Join(dir, "sock")
	start(b, addr, filepath.Join(bin, "kivaloo"), "serve", "--foreground", "--socket", addr, filepath.Join(dir, "store"))
	return addr
}

func startCalibration(b *testing.B, bin string) string {
	b.Helper()
	addr := filepath.Join(b.TempDir(), "sock")
	start(b, addr, filepath.Join(bin, "calibrate"), addr, strconv.Itoa(*pairsFlag))
	return addr
}

// start runs a server until the benchmark ends, and waits for its socket.
func start(b *testing.B, addr, program string, args ...string) {
	b.Helper()
	cmd := exec.Command(program, args...)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		if b.Failed() {
			b.Logf("%s:\n%s", program, &log)
		}
	})
	for range 1000 {
		if _, err := os.Stat(addr); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.Fatalf("%s does not listen", program)
}

// measure runs one workload of the benchmark's client and answers its rate.
func measure(b *testing.B, bin, workload, addr string, more ...string) float64 {
	b.Helper()
	args := append([]string{"bench", "-s", addr, "--json", "--run", "^" + workload + "$",
		"--pairs", strconv.Itoa(*pairsFlag), "--time", sliceFlag.String()}, more...)
	cmd := exec.Command(filepath.Join(bin, "kivaloo"), args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("%v: %v", args, err)
	}
	var result struct {
		Name  string  `json:"name"`
		NsPer float64 `json:"ns/op"`
	}
	for line := range bytes.Lines(out) {
		if err := json.Unmarshal(line, &result); err != nil {
			b.Fatal(err)
		}
	}
	if result.Name != workload {
		b.Fatalf("no result of %s in %s", workload, out)
	}
	return 1e9 / result.NsPer
}
