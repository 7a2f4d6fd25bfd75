package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/pprof"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"kivaloo/cmd/kivaloo/bench"
)

const (
	benchPairs    = 1 << 20 // as the figures of the original have
	benchInflight = 4096    // as the original's benchmarks
	benchTime     = 3 * time.Second
)

// A benchmark is what "kivaloo bench" was asked for.
type benchmark struct {
	bench.Options
	profile string
}

func setupBench(flags *pflag.FlagSet) func(*env, []string) error {
	var b benchmark
	b.declare(flags)
	return func(e *env, _ []string) error {
		b.Out, b.Status = e.stdout, e.stderr
		if err := b.check(); err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
		defer stop()
		return b.run(ctx)
	}
}

func (b *benchmark) declare(flags *pflag.FlagSet) {
	flags.StringVar(&b.Dir, "dir", "", "measure the store in `DIR`, in this process; made if it is missing or empty")
	flags.StringVarP(&b.Socket, "socket", "s", "", "measure the server at `ADDR`: a path, host:port or [ip]:port")
	flags.IntVar(&b.Pairs, "pairs", benchPairs, "how many pairs of 40 and 40 bytes")
	flags.IntVar(&b.Connections, "connections", 1, "how many connections share the work")
	flags.IntVar(&b.Inflight, "inflight", benchInflight, "how many requests are under way, over all connections")
	flags.StringVar(&b.Run, "run", "", "only workloads whose names match one of these `REGEXPS`, with commas between")
	flags.DurationVar(&b.Time, "time", benchTime, "of each workload that has no end of its own")
	flags.DurationVar(&b.Warmup, "warmup", 0, "`TIME` for which such a workload runs before it is measured; 50s is the original's")
	flags.Uint64Var(&b.Seed, "seed", 1, "of the random numbers")
	flags.BoolVar(&b.JSON, "json", false, "write a JSON object a line")
	flags.BoolVar(&b.NoCheck, "no-check", false, "believe every value: for a server that only answers")
	flags.StringVar(&b.profile, "cpuprofile", "", "write a profile of this process to `FILE`")
}

func (b *benchmark) check() error {
	switch {
	case (b.Dir == "") == (b.Socket == ""):
		return usagef("bench: either --dir or --socket")
	case b.Connections < 1 || b.Connections > bench.ConnectionsMax:
		return usagef("bench: --connections must be from 1 to %d", bench.ConnectionsMax)
	case b.Pairs < b.Connections || b.Pairs > bench.PairsMax:
		return usagef("bench: --pairs must be from --connections to %d", bench.PairsMax)
	case b.Inflight < b.Connections || b.Inflight > bench.InflightMax:
		return usagef("bench: --inflight must be from --connections to %d", bench.InflightMax)
	case b.Time <= 0 || b.Warmup < 0:
		return usagef("bench: --time must be above 0, --warmup not below")
	}
	if err := bench.CheckRun(b.Run); err != nil {
		return usagef("bench: --run: %v", err)
	}
	return nil
}

// run measures, and writes a profile of that if one was asked for.
func (b *benchmark) run(ctx context.Context) error {
	if b.profile == "" {
		return bench.Run(ctx, b.Options)
	}
	f, err := os.Create(b.profile)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return bench.Run(ctx, b.Options)
}
