package btree

import "kivaloo/kvstore/page"

// A plan decides where a run of units is cut into pages.
type plan struct {
	weights   []int           // what each unit takes
	low, high int             // lengths of the run's fences
	border    func(i int) int // length of the fence before unit i
	limit     int             // the longest a page should be
	unitsMin  int             // a page has no fewer units, if there are as many
}

// ends cuts the run into full pages or into even ones, and answers where each
// page ends. A rest that is too little for a page stays so only if asked.
func (p *plan) ends(full, keepRest bool) []int {
	if !full {
		return p.even(0, nil)
	}
	ends := p.full(0, nil)
	if n := len(ends); n > 1 && !keepRest && p.bytes(ends[n-2], ends[n-1]) < p.limit/underfull {
		from := 0
		if n > 2 {
			from = ends[n-3]
		}
		return p.even(from, ends[:n-2])
	}
	return ends
}

// full cuts the units from unit from on into pages as long as they may be, and
// appends their ends.
func (p *plan) full(from int, ends []int) []int {
	for from < len(p.weights) {
		from = p.fill(from)
		ends = append(ends, from)
	}
	return ends
}

// fill is the end of the longest page that begins with unit from.
func (p *plan) fill(from int) int {
	n := len(p.weights)
	end, sum := from, page.HeaderBytes+p.fence(from)
	for end < n && (end < from+p.unitsMin || sum+p.weights[end] <= p.limit) {
		sum += p.weights[end]
		end++
	}
	for end > from+p.unitsMin && (sum+p.fence(end) > p.limit || p.tooFew(n-end)) {
		end--
		sum -= p.weights[end]
	}
	if p.tooFew(n - end) {
		return n
	}
	return end
}

// tooFew says whether a rest of n units cannot be a page of its own.
func (p *plan) tooFew(n int) bool { return 0 < n && n < p.unitsMin }

// even cuts the units from unit from on into as few pages as will do, of about
// the same length, and appends their ends.
func (p *plan) even(from int, ends []int) []int {
	n := len(p.weights)
	if p.bytes(from, n) <= p.limit {
		return append(ends, n)
	}
	sum := 0
	for _, w := range p.weights[from:] {
		sum += w
	}
	room := max(p.limit-page.HeaderBytes-p.low-p.high, p.limit/underfull)
	pages, most := max(2, (sum+room-1)/room), max(1, (n-from)/p.unitsMin)
	for range 2 {
		if even := p.share(from, sum, min(pages, most)); p.fits(from, even) {
			return append(ends, p.coalesce(from, even)...)
		}
		pages++ // large units do not share evenly
	}
	return p.full(from, ends)
}

// coalesce takes out the cuts between pages that fit into one: beside a large
// unit an even share may be very little.
func (p *plan) coalesce(from int, ends []int) []int {
	kept := ends[:0]
	for i, end := range ends {
		if i+1 < len(ends) && p.bytes(from, ends[i+1]) <= p.limit {
			continue
		}
		kept = append(kept, end)
		from = end
	}
	return kept
}

// share cuts the units from unit from on, of weight sum, into so many pages.
func (p *plan) share(from, sum, pages int) []int {
	n := len(p.weights)
	ends := make([]int, 0, pages)
	end, done := from, 0
	for k := 1; k < pages; k++ {
		least, most := end+p.unitsMin, n-(pages-k)*p.unitsMin
		goal := sum * k / pages
		for end < most && (end < least || done+p.weights[end]/2 <= goal) {
			done += p.weights[end]
			end++
		}
		ends = append(ends, end)
	}
	return append(ends, n)
}

// fits says whether no page is longer than it should be.
func (p *plan) fits(from int, ends []int) bool {
	for _, end := range ends {
		if p.bytes(from, end) > p.limit {
			return false
		}
		from = end
	}
	return true
}

// bytes is the length of the page of units from to end.
func (p *plan) bytes(from, end int) int {
	sum := page.HeaderBytes + p.fence(from) + p.fence(end)
	for _, w := range p.weights[from:end] {
		sum += w
	}
	return sum
}

// fence is the length of the fence before unit i.
func (p *plan) fence(i int) int {
	switch i {
	case 0:
		return p.low
	case len(p.weights):
		return p.high
	}
	return p.border(i)
}
