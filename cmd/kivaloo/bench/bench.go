// Package bench measures a store: the six workloads of the original's benchmarks,
// with its pairs, and what a program that embeds the store does.
//
// What is measured is defined in tests/bench/BENCHMARKS.md. A workload is a job:
// a row of operations, each known from its number alone, and how many of them may
// be under way. A target carries jobs out: a store in this process, or a server
// of protocol v1. Every answer is compared with what it must be, so that a store
// that is fast and wrong is not measured but reported.
//
// The runner owns the data, and lends it to one job at a time. While a job runs,
// each of its connections owns the pairs whose place, modulo the number of
// connections, is its own.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"kivaloo/cmd/kivaloo/bench/pairs"
)

// ErrWrong: an answer that is not what it must be, or one that is missing.
var ErrWrong = errors.New("wrong answer")

// ErrNotOurs: a store with pairs of somebody else, which is left alone.
var ErrNotOurs = errors.New("the store holds other pairs than the benchmark's; use an empty one")

// Limits of a run, beyond which a number is a slip of the pen.
const (
	PairsMax       = 1 << 28 // 24 GiB of pairs, in memory
	InflightMax    = 1 << 16
	ConnectionsMax = 1 << 10
)

// Options say what is measured, and how.
type Options struct {
	// Dir is the directory of a store to open in this process; or else Socket is
	// the address of a server.
	Dir    string
	Socket string

	Pairs       int // at least one a connection
	Connections int
	Inflight    int           // operations under way, over all connections: at least one each
	Run         string        // regular expressions of workloads, with commas between
	Time        time.Duration // of a workload that has no end of its own
	Warmup      time.Duration // of such a workload, before it is measured
	Seed        uint64
	// NoCheck believes every answer: for a server that only answers.
	NoCheck bool

	JSON   bool
	Out    io.Writer // takes the results
	Status io.Writer // takes progress
}

// Run measures the workloads that were asked for and writes each result as soon
// as it is known.
func Run(ctx context.Context, o Options) error {
	chosen, err := choose(o.Run)
	if err != nil {
		return err
	}
	t, err := openTarget(ctx, &o)
	if err != nil {
		return err
	}
	err = measureAll(ctx, &o, t, chosen)
	if ctx.Err() != nil {
		err = ctx.Err() // whatever it has broken off
	}
	return errors.Join(err, t.close())
}

func measureAll(ctx context.Context, o *Options, t target, chosen []workload) error {
	out := &writer{out: o.Out, json: o.JSON}
	if err := out.header(o); err != nil {
		return err
	}
	r := &runner{ctx: ctx, opts: o, target: t, data: newData(pairs.Make(o.Pairs))}
	if err := r.checkOurs(); err != nil {
		return err
	}
	for i := range chosen {
		res, err := r.measure(&chosen[i])
		if err != nil {
			return fmt.Errorf("%s: %w", chosen[i].name, err)
		}
		if err := out.result(res); err != nil {
			return err
		}
	}
	return nil
}

// A target carries jobs out.
type target interface {
	// run carries out the operations of a job.
	run(ctx context.Context, j *job) error
	// extract reads all pairs in order, again and again until the job's deadline.
	extract(ctx context.Context, j *job) error
	// first answers the first key of the store, or nil when it is empty.
	first(ctx context.Context) ([]byte, error)
	close() error
}

func openTarget(ctx context.Context, o *Options) (target, error) {
	if o.Dir != "" {
		return openDirect(ctx, o)
	}
	return dialServer(ctx, o)
}

func wrongf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrWrong, fmt.Sprintf(format, args...))
}
