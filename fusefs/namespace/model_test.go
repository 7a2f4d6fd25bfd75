package namespace

import (
	"slices"
	"strings"
)

// A model is a store in memory and the filesystem's side of this package over
// it: which questions are asked, and where a listing goes on.
type model struct {
	keys   []string // sorted
	values map[string]string
}

func newModel(values map[string]string) *model {
	m := &model{values: values}
	for key := range values {
		m.keys = append(m.keys, key)
	}
	slices.Sort(m.keys)
	return m
}

// seek is the first key not below from.
func (m *model) seek(from []byte) (key []byte, ok bool) {
	i, _ := slices.BinarySearch(m.keys, string(from))
	if i == len(m.keys) {
		return nil, false
	}
	return []byte(m.keys[i]), true
}

func (m *model) hasKey(key []byte) bool {
	_, ok := m.values[string(key)]
	return ok
}

func (m *model) hasPrefix(prefix []byte) bool {
	key, ok := m.seek(prefix)
	return ok && strings.HasPrefix(string(key), string(prefix))
}

// exists says whether there is something at a target.
func (m *model) exists(d Dir, t Target) bool {
	key, prefix := d.AppendKey(nil, t.Component), d.AppendPrefix(nil, t.Component)
	switch t.Kind {
	case Main:
		return m.hasKey(key) || m.hasPrefix(prefix)
	case Folder:
		return m.hasPrefix(prefix)
	case Beside:
		return m.hasKey(key) && m.hasPrefix(prefix)
	case Value:
		return m.values[string(d.Prefix)] != ""
	case Virtual:
		_, ok := m.first(Dir{Prefix: d.Prefix, Cut: t.Cut})
		return ok
	}
	return false
}

// find is the target of a name, with its question answered.
func (m *model) find(d Dir, name string) (Target, error) {
	l, err := d.Lookup(name)
	if err != nil {
		return Target{}, err
	}
	return l.Answer(l.Rival.Kind != None && m.exists(d, l.Rival)), nil
}

// An entry is what a listing shows. It sorts at its key.
type entry struct {
	name      string
	kind      Kind
	component string
	key       string
	isDir     bool
	next      []byte // where a listing that stopped here goes on
}

// list visits the entries of d whose keys are not below from, until visit says
// no. A nil from begins at the beginning.
func (m *model) list(d Dir, from []byte, visit func(entry) bool) {
	begin, end := d.Bounds()
	if from == nil {
		from = begin
	}
	for {
		key, ok := m.seek(from)
		if !ok || end != nil && string(key) >= string(end) {
			return
		}
		e, ok := m.entry(d, key)
		if ok && !visit(e) {
			return
		}
		from = e.next
	}
}

// entry is what d shows for key, if it is not shown elsewhere.
func (m *model) entry(d Dir, key []byte) (e entry, shown bool) {
	component, found := d.Entry(key)
	e = entry{kind: Main, component: string(component), key: string(key), next: append(key, 0)}
	switch found {
	case FoundMarker:
		e.kind = Value
		if m.values[e.key] == "" {
			return e, false
		}
	case FoundDir:
		e.isDir = true
		e.key = string(d.AppendPrefix(nil, e.component))
		e.next = d.AppendAfter(nil, component)
	case FoundPair:
		if m.alsoDir(key) {
			e.kind = Beside
		}
	}
	return m.named(d, e)
}

func (m *model) alsoDir(key []byte) bool {
	next, _ := m.seek(append(slices.Clone(key), 0))
	switch AlsoDir(key, next) {
	case AlsoYes:
		return true
	case AlsoAsk:
		return m.hasPrefix(append(slices.Clone(key), '/'))
	}
	return false
}

// named gives an entry its name. A virtual directory is shown at the first
// entry that lies in it.
func (m *model) named(d Dir, e entry) (entry, bool) {
	component := []byte(e.component)
	shifted := e.kind == Main && m.exists(d, d.Rival(component))
	name, virtual, ok := d.AppendName(nil, e.kind, component, shifted)
	e.name = string(name)
	if !ok || !virtual {
		return e, ok
	}
	e.kind, e.component, e.isDir = Virtual, "", true
	l, err := d.Lookup(e.name)
	if err != nil || l.Plain.Kind != Virtual {
		return e, true // the checks of the entry will say so
	}
	first, _ := m.first(Dir{Prefix: d.Prefix, Cut: l.Plain.Cut})
	return e, first.key == e.key
}

// first is the first entry of d.
func (m *model) first(d Dir) (first entry, ok bool) {
	m.list(d, nil, func(e entry) bool {
		first, ok = e, true
		return false
	})
	return first, ok
}
