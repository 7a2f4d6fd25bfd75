package kvtest

import "kivaloo/kvstore/kv"

// Stamps that a writer brings: below all that a store draws by itself.
const (
	someBirth    kv.Stamp = 1 << 20
	someModified kv.Stamp = 1 << 21
)

// A stampCase is what the stamps of a key are after some steps, each a
// transaction of its own. A stamp up to the number of steps means that step's.
type stampCase struct {
	name  string
	steps []kv.Effect
	want  stamps
	meta  string
	key   string // the key to look at, k when empty
}

var stampCases = []stampCase{
	{"put", effects(put("k", "v")), stamps{1, 1, 1, false, 1}, "", ""},
	{"put over", effects(put("k", "v"), put("k", "v")), stamps{1, 2, 2, false, 1}, "", ""},
	{"put keeps metadata", effects(withMeta(put("k", "v"), "m"), put("k", "w")), stamps{1, 2, 2, false, 1}, "m", ""},
	{"put sets metadata", effects(withMeta(put("k", "v"), "m"), withMeta(put("k", "w"), "n")), stamps{1, 2, 2, false, 1}, "n", ""},
	{"put clears metadata", effects(withMeta(put("k", "v"), "m"), withMeta(put("k", "w"), "")), stamps{1, 2, 2, false, 1}, "", ""},
	{"fresh put", effects(withMeta(put("k", "v"), "m"), fresh(put("k", "w"))), stamps{2, 2, 2, false, 1}, "", ""},
	{"fresh put bringing", effects(put("k", "v"), bringing(fresh(put("k", "w")), someBirth, someModified)), stamps{someBirth, someModified, 2, true, 1}, "", ""},
	{"delete, then put", effects(withMeta(put("k", "v"), "m"), del("k"), put("k", "w")), stamps{3, 3, 3, false, 1}, "", ""},
	{"delete prefix, then put", effects(withMeta(put("k", "v"), "m"), delPrefix(""), put("k", "w")), stamps{3, 3, 3, false, 1}, "", ""},
	{"put bringing", effects(bringing(put("k", "v"), someBirth, someModified)), stamps{someBirth, someModified, 1, true, 1}, "", ""},
	{"put bringing a birth too late", effects(put("k", "v"), bringing(put("k", "v"), someBirth, 0)), stamps{1, 2, 2, false, 1}, "", ""},
	{"put bringing an old modified", effects(bringing(put("k", "v"), 0, someModified), bringing(put("k", "v"), 0, someModified)), stamps{1, someModified + 1, 2, true, 1}, "", ""},
	{"put bringing an older modified", effects(bringing(put("k", "v"), 0, someModified), bringing(put("k", "v"), 0, someBirth)), stamps{1, someModified + 1, 2, true, 1}, "", ""},
	{"put bringing a new modified", effects(bringing(put("k", "v"), 0, someModified), bringing(put("k", "v"), 0, someModified+9)), stamps{1, someModified + 9, 2, true, 1}, "", ""},
	{"put bringing metadata too", effects(bringing(withMeta(put("k", "v"), "m"), 0, someModified)), stamps{1, someModified, 1, true, 1}, "m", ""},
	{"put after a brought one", effects(bringing(put("k", "v"), 0, someModified), put("k", "w")), stamps{1, 2, 2, false, 1}, "", ""},
	{"set meta", effects(put("k", "v"), setMeta("k", "m")), stamps{1, 1, 2, false, 1}, "m", ""},
	{"set meta after a brought one", effects(bringing(put("k", "v"), 0, someModified), setMeta("k", "m")), stamps{1, someModified, 2, false, 1}, "m", ""},

	{"patch", effects(withMeta(put("k", "v"), "m"), patch("k", 0, "w")), stamps{1, 2, 2, false, 1}, "m", ""},
	{"patch making a pair", effects(bringing(withMeta(patch("k", 1, "w"), "m"), someBirth, someModified)), stamps{someBirth, someModified, 1, true, 1}, "m", ""},
	{"patch bringing", effects(put("k", "v"), bringing(patch("k", 1, "w"), 0, someModified)), stamps{1, 0, 2, true, 1}, "", ""},
	{"empty patch", effects(put("k", "v"), patch("k", 0, "")), stamps{1, 2, 2, false, 1}, "", ""},
	{"append", effects(withMeta(put("k", "v"), "m"), appendTo("k", "w")), stamps{1, 2, 2, false, 1}, "m", ""},
	{"append setting metadata", effects(put("k", "v"), withMeta(appendTo("k", "w"), "m")), stamps{1, 2, 2, false, 1}, "m", ""},
	{"truncate", effects(withMeta(put("k", "v"), "m"), truncate("k", 1)), stamps{1, 2, 2, false, 1}, "m", ""},
	{"truncate to the same", effects(put("k", ""), truncate("k", 0)), stamps{1, 2, 2, false, 1}, "", ""},
	{"punch", effects(withMeta(put("k", "v"), "m"), punch("k", 0, 1)), stamps{1, 2, 2, false, 1}, "m", ""},
	{"copy, source", effects(put("k", "v"), copyRange("k", 0, 1, "l", 0)), stamps{1, 1, 1, false, 1}, "", ""},
	{"copy, new pair", effects(withMeta(put("k", "v"), "m"), copyRange("k", 0, 1, "l", 0)), stamps{2, 2, 2, false, 1}, "", "l"},
	{"copy, old pair", effects(put("k", "v"), withMeta(put("l", "w"), "m"), copyRange("k", 0, 1, "l", 0)), stamps{2, 3, 3, false, 1}, "m", "l"},

	{"move", effects(withMeta(put("k", "v"), "m"), move("k", "l")), stamps{1, 1, 2, false, 1}, "m", "l"},
	{"move over a pair", effects(withMeta(put("k", "v"), "m"), withMeta(put("l", "w"), "n"), move("k", "l")), stamps{1, 1, 3, false, 1}, "m", "l"},
	{"move to itself", effects(withMeta(put("k", "v"), "m"), move("k", "k")), stamps{1, 1, 2, false, 1}, "m", ""},
	{"move of a brought one", effects(bringing(put("k", "v"), someBirth, someModified), move("k", "l")), stamps{someBirth, someModified, 2, false, 1}, "", "l"},
	{"put where one moved away", effects(withMeta(put("k", "v"), "m"), move("k", "l"), put("k", "w")), stamps{3, 3, 3, false, 1}, "", ""},
	{"put after a move", effects(withMeta(put("k", "v"), "m"), move("k", "l"), put("l", "w")), stamps{1, 3, 3, false, 1}, "m", "l"},
	{"move prefix", effects(withMeta(put("k", "v"), "m"), movePrefix("k", "l")), stamps{1, 1, 2, false, 1}, "m", "l"},
	{"move prefix of a brought one", effects(bringing(put("k", "v"), someBirth, someModified), movePrefix("k", "l")), stamps{someBirth, someModified, 2, false, 1}, "", "l"},
	{"put where a prefix moved away", effects(withMeta(put("k", "v"), "m"), movePrefix("k", "l"), put("k", "w")), stamps{3, 3, 3, false, 1}, "", ""},

	{"link", effects(withMeta(put("k", "v"), "m"), link("k", "l")), stamps{1, 1, 2, false, 2}, "m", ""},
	{"link, second name", effects(withMeta(put("k", "v"), "m"), link("k", "l")), stamps{1, 1, 2, false, 2}, "m", "l"},
	{"link of a brought one", effects(bringing(put("k", "v"), 0, someModified), link("k", "l")), stamps{1, someModified, 2, false, 2}, "", ""},
	{"three names", effects(put("k", "v"), link("k", "l"), link("l", "m")), stamps{1, 1, 3, false, 3}, "", ""},
	{"write by another name", effects(put("k", "v"), link("k", "l"), put("l", "w")), stamps{1, 3, 3, false, 2}, "", ""},
	{"metadata by another name", effects(put("k", "v"), link("k", "l"), setMeta("l", "m")), stamps{1, 1, 3, false, 2}, "m", ""},
	{"delete of another name", effects(put("k", "v"), link("k", "l"), del("l")), stamps{1, 1, 3, false, 1}, "", ""},
	{"delete prefix of another name", effects(put("k", "v"), link("k", "l"), delPrefix("l")), stamps{1, 1, 3, false, 1}, "", ""},
	{"move of another name", effects(put("k", "v"), link("k", "l"), move("l", "m")), stamps{1, 1, 3, false, 2}, "", ""},
	{"move over another name", effects(put("k", "v"), link("k", "l"), put("m", ""), move("m", "l")), stamps{1, 1, 4, false, 1}, "", ""},
	{"fresh put on another name", effects(put("k", "v"), link("k", "l"), fresh(put("l", ""))), stamps{1, 1, 3, false, 1}, "", ""},
	{"fresh put on a name", effects(put("k", "v"), link("k", "l"), fresh(put("l", ""))), stamps{3, 3, 3, false, 1}, "", "l"},
	{"move prefix of another name", effects(put("k", "v"), link("k", "l"), movePrefix("l", "m")), stamps{1, 1, 3, false, 2}, "", ""},
}

// stampTests are each run on values that a store keeps in different ways.
func stampTests() []test {
	var tests []test
	for _, c := range stampCases {
		for _, size := range []int{1, kv.InlineBytesMax + 1, kv.ChunkBytes + 1} {
			needs := needsOf(c.steps) | Stamps
			if size > 255 {
				needs |= Large
			}
			name := "stamps/" + c.name + "/" + sizeName(size)
			tests = append(tests, test{name, needs, func(e *env) { c.run(e, size) }})
		}
	}
	return tests
}

func (c *stampCase) run(e *env, size int) {
	var drawn []kv.Stamp
	for _, step := range c.steps {
		if step.Op == kv.Put && string(step.Value) == "v" {
			step.Value = []byte(text(size))
		}
		drawn = append(drawn, e.do(step).Version)
	}
	key := c.key
	if key == "" {
		key = "k"
	}
	c.checkPair(e, e.get(key), drawn)
	e.same()
	if e.has(Reopening) {
		e.reopen()
		c.checkPair(e, e.get(key), drawn)
	}
}

func (c *stampCase) checkPair(e *env, p kv.Pair, drawn []kv.Stamp) {
	e.Helper()
	want := c.want
	for _, s := range []*kv.Stamp{&want.birth, &want.modified, &want.version} {
		switch {
		case *s == 0: // a brought one that was raised above the first
			*s = drawn[0] + 1
		case int(*s) <= len(drawn):
			*s = drawn[*s-1]
		}
	}
	if got := stampsOf(&p); got != want {
		e.Fatalf("%+v, want %+v; the steps took %d", got, want, drawn)
	}
	if e.has(Metadata) && string(p.Meta) != c.meta {
		e.Fatalf("metadata %q, want %q", p.Meta, c.meta)
	}
}
