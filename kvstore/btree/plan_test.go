package btree

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestPlan(t *testing.T) {
	same := func(n, w int) []int { return slices.Repeat([]int{w}, n) }
	for name, c := range map[string]struct {
		weights        []int
		unitsMin       int
		full, keepRest bool
		want           []int
	}{
		"one page":              {same(9, 100), 1, false, false, []int{9}},
		"two even pages":        {same(12, 100), 1, false, false, []int{6, 12}},
		"three even pages":      {same(27, 100), 1, false, false, []int{9, 18, 27}},
		"full, and a rest":      {same(20, 100), 1, true, true, []int{9, 18, 20}},
		"the rest is too small": {same(20, 100), 1, true, false, []int{9, 15, 20}},
		"the rest is enough":    {same(23, 100), 1, true, false, []int{9, 18, 23}},
		"a large unit":          {[]int{100, 100, 3000, 100, 100}, 1, false, false, []int{2, 3, 5}},
		"large units in pairs":  {same(5, 3000), 2, false, false, []int{2, 5}},
		"pairs, packed full":    {same(5, 3000), 2, true, true, []int{2, 5}},
		"a single unit":         {same(1, 3000), 2, true, true, []int{1}},
	} {
		p := plan{weights: c.weights, limit: 1000, unitsMin: c.unitsMin, border: func(int) int { return 10 }}
		if got := p.ends(c.full, c.keepRest); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// Whatever the units, a plan covers them all, has no page with too few, and none
// too long that could be shorter.
func TestPlanOfAnything(t *testing.T) {
	seed := newSeed()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 20_000 {
		p := plan{low: r.IntN(50), high: r.IntN(50), limit: 1000, unitsMin: 1 + r.IntN(2)}
		borders := make([]int, 1+r.IntN(60))
		for i := range borders {
			borders[i] = r.IntN(50)
			p.weights = append(p.weights, 1+r.IntN(1<<(1+r.IntN(11))))
		}
		p.border = func(i int) int { return borders[i] }
		from, few := 0, 2*p.unitsMin-1
		for _, end := range p.ends(r.IntN(2) == 0, r.IntN(2) == 0) {
			if end-from < min(p.unitsMin, len(borders)) {
				t.Fatalf("units %d to %d of %v are a page", from, end, p.weights)
			}
			if end-from > few && p.bytes(from, end) > p.limit {
				t.Fatalf("units %d to %d of %v are a page of %d bytes", from, end, p.weights, p.bytes(from, end))
			}
			from = end
		}
		if from != len(borders) {
			t.Fatalf("%d units of %d", from, len(borders))
		}
	}
}
