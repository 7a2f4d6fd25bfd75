package bench

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"kivaloo/cmd/kivaloo/bench/pairs"
)

const (
	// batchOps is how many operations make a batch: the most effects that a
	// transaction has.
	batchOps = 4096
	// rangeBytes is what the original's client asks for by one RANGE.
	rangeBytes = 1 << 20
	// pageBytes is what the mux makes of that.
	pageBytes = 64 << 10
)

// A workload is one figure.
type workload struct {
	name string
	unit string // of the rate
	// needs says in which state the store must be.
	needs state
	// job makes what is measured.
	job func(r *runner) *job
	// scans says that the job is an extract.
	scans bool
	// bounded says that the job has an end of its own, and not a time.
	bounded bool
}

// A state is which pairs are there.
type state uint8

const (
	filled state = iota
	emptied
)

// workloads are all of them, in the order in which they run.
func workloads() []workload {
	list := []workload{
		{name: "BulkInsert", unit: "pairs/s", needs: emptied, job: (*runner).insert, bounded: true},
		{name: "BulkUpdate", unit: "pairs/s", job: (*runner).update, bounded: true},
		{name: "BulkExtract", unit: "pairs/s", job: (*runner).extract, scans: true},
		{name: "RandomRead", unit: "reads/s", job: (*runner).randomRead},
		{name: "RandomMixed", unit: "ops/s", job: (*runner).randomMixed},
		{name: "HotSpotRead", unit: "reads/s", job: (*runner).hotSpot},
	}
	for _, n := range []int{1, 16, 64} {
		list = append(list, workload{name: fmt.Sprintf("DurablePut/writers=%d", n), unit: "puts/s",
			job: func(r *runner) *job { return r.durablePut(n) }})
	}
	return append(list,
		workload{name: "BatchInsert", unit: "pairs/s", needs: emptied, job: (*runner).batchInsert, bounded: true},
		workload{name: "BatchUpdate", unit: "pairs/s", job: (*runner).batchUpdate, bounded: true},
		workload{name: "Scan", unit: "pairs/s", job: (*runner).scan, scans: true},
		workload{name: "BatchMixed", unit: "ops/s", job: (*runner).batchMixed})
}

// CheckRun says what is wrong with Options.Run.
func CheckRun(run string) error {
	_, err := choose(run)
	return err
}

// choose finds the workloads that a list of regular expressions names.
func choose(run string) ([]workload, error) {
	var asked []*regexp.Regexp
	for text := range strings.SplitSeq(run, ",") {
		re, err := regexp.Compile("(?i)" + strings.TrimSpace(text))
		if err != nil {
			return nil, err
		}
		asked = append(asked, re)
	}
	chosen := slices.DeleteFunc(workloads(), func(w workload) bool {
		return !slices.ContainsFunc(asked, func(re *regexp.Regexp) bool { return re.MatchString(w.name) })
	})
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no workload is called %q", run)
	}
	return chosen, nil
}

// insert puts all pairs, in order.
func (r *runner) insert() *job { return r.bulk(put, epoch{kind: aged}) }

// update puts all pairs again, in order, with other values.
func (r *runner) update() *job {
	r.generation++
	return r.bulk(put, epoch{kind: aged, generation: r.generation})
}

// bulk does the same to each pair, in order.
func (r *runner) bulk(kind opKind, e epoch) *job {
	j := r.newJob(r.data.begin(e))
	j.count = uint64(r.opts.Pairs)
	j.ops = func(n uint64) op { return op{kind, uint32(n)} }
	return j
}

func (r *runner) extract() *job {
	j := r.newJob(0)
	j.pageBytes = pageBytes
	if r.opts.Socket != "" {
		j.pageBytes = rangeBytes
	}
	return j
}

// scan is an extract by the largest pages there are.
func (r *runner) scan() *job {
	j := r.newJob(0)
	j.pageBytes = rangeBytes
	return j
}

// randomRead reads pairs at random.
func (r *runner) randomRead() *job {
	j, pairOf := r.newJob(0), r.random(r.nextSeed())
	j.ops = func(n uint64) op { return op{read, pairOf(n)} }
	return j
}

// randomMixed reads two pairs, then writes two, all at random.
func (r *runner) randomMixed() *job {
	j, pairOf := r.numbered()
	conns := uint64(r.opts.Connections)
	j.ops = func(n uint64) op { return op{opKind(n / conns >> 1 & 1), pairOf(n)} }
	return j
}

// hotSpot reads all pairs of an X in the order of their numbers, which is random,
// then those of another.
func (r *runner) hotSpot() *job {
	j := r.newJob(0)
	group := uint64(min(r.opts.Pairs, pairs.GroupPairs))
	groups := uint64(r.opts.Pairs) / group
	seed := r.nextSeed()
	j.ops = func(n uint64) op {
		x := mix(seed+n/group) % groups
		return op{read, r.data.Order[x*group+n%group]}
	}
	return j
}

// durablePut puts pairs at random by a number of writers who wait.
func (r *runner) durablePut(n int) *job {
	j, pairOf := r.numbered()
	j.ops = func(n uint64) op { return op{put, pairOf(n)} }
	j.pace, j.depth = writers, n
	return j
}

func (r *runner) batchInsert() *job { return inBatches(r.insert()) }
func (r *runner) batchUpdate() *job { return inBatches(r.update()) }

// batchMixed reads pairs at random in the first half of each batch, and writes
// in the second.
func (r *runner) batchMixed() *job {
	j, pairOf := r.numbered()
	conns := uint64(r.opts.Connections)
	j.ops = func(n uint64) op { return op{opKind(n / conns % batchOps / (batchOps / 2)), pairOf(n)} }
	return inBatches(j)
}

func inBatches(j *job) *job {
	j.pace, j.depth = batches, batchOps*j.conns
	return j
}

// numbered begins a job that writes numbered values to pairs at random.
func (r *runner) numbered() (j *job, pairOf func(n uint64) uint32) {
	pairOf = r.random(r.nextSeed())
	return r.newJob(r.data.begin(epoch{kind: numbered, pairOf: pairOf})), pairOf
}

// random answers which pair operation n takes: any of those of its connection.
func (r *runner) random(seed uint64) func(n uint64) uint32 {
	conns, all := uint64(r.opts.Connections), uint64(r.opts.Pairs)
	if conns == 1 {
		return func(n uint64) uint32 { return uint32(mix(seed+n) % all) }
	}
	return func(n uint64) uint32 {
		first := n % conns
		own := (all - first + conns - 1) / conns
		return uint32(first + conns*(mix(seed+n)%own))
	}
}

// mix makes a number of another that looks as if drawn at random (splitmix64), so
// that any operation is known from its number alone.
func mix(n uint64) uint64 {
	n *= 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}
