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
		return p.even()
	}
	ends := p.full()
	if !keepRest {
		p.shareRest(ends)
	}
	return ends
}

// shareRest moves the last cut to where it makes even pages, if the last page is
// too little.
func (p *plan) shareRest(ends []int) {
	n := len(ends)
	if n < 2 || p.bytes(ends[n-2], ends[n-1]) >= p.limit/underfull {
		return
	}
	from := 0
	if n > 2 {
		from = ends[n-3]
	}
	if two := p.share(from, p.sum(from), 2); p.fits(from, two) {
		copy(ends[n-2:], two)
	}
}

// full cuts pages as long as they may be.
func (p *plan) full() []int {
	from, ends := 0, []int(nil)
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

// even cuts the run into as few pages as will do, of about the same length.
func (p *plan) even() []int {
	n := len(p.weights)
	if p.bytes(0, n) <= p.limit {
		return []int{n}
	}
	sum := p.sum(0)
	room := max(p.limit-page.HeaderBytes-p.low-p.high, p.limit/underfull)
	pages, most := max(2, (sum+room-1)/room), max(1, n/p.unitsMin)
	for range 2 {
		if ends := p.share(0, sum, min(pages, most)); p.fits(0, ends) {
			return p.coalesce(ends)
		}
		pages++ // large units do not share evenly
	}
	ends := p.full()
	p.shareRest(ends)
	return ends
}

// coalesce takes out the cuts between pages that fit into one: beside a large
// unit an even share may be very little.
func (p *plan) coalesce(ends []int) []int {
	from, kept := 0, ends[:0]
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

// sum is the weight of all units from unit from on.
func (p *plan) sum(from int) int {
	sum := 0
	for _, w := range p.weights[from:] {
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
