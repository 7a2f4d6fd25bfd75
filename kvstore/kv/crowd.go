package kv

// A Crowd is transactions that are handed to a store together, by who must not
// wait for them: they need no goroutine, and share what handing over and answering
// cost. They take effect in order, each by itself, and one that fails does not
// keep the others from being carried out.
//
// The crowd and all that it refers to belong to the store until the last of its
// transactions is answered; then it may be used again.
type Crowd struct {
	Txns []Txn
	// Results and Errs, as long as Txns, take the outcomes.
	Results []Result
	Errs    []error

	// Answered says that the transactions with from <= i < to have their outcomes
	// and are durable. It is called once for each, in any order, by the store's own
	// goroutines, which wait for it: it must not block.
	Answered func(from, to int)

	// Kept is the store's: what it wants to find again when the crowd comes back.
	Kept any
}

// Answer gives a transaction its outcome, for stores that answer one by one.
func (c *Crowd) Answer(i int, res Result, err error) {
	c.Results[i], c.Errs[i] = res, err
	c.Answered(i, i+1)
}
