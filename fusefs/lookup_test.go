package fusefs

import (
	"testing"

	"kivaloo/fusefs/attr"
)

// A kernel that caches nothing asks for names without holding the lock of their
// directory, so a LOOKUP may come between the commit of a rename and the tree's
// knowing of it. It once moved the node of a file that was only created, and left
// its old name behind as uncommitted: the next creation of that name got EEXIST.
func TestLookupBetweenARenameAndTheTree(t *testing.T) {
	tree := newTree(1)
	root := tree.byID[rootID]
	from, to := slot{root, kindFile, "from"}, slot{root, kindFile, "to"}
	f := tree.addFreshFile(&entry{at: from}, 7, attr.Attr{}, false)
	renamed := entry{at: from, found: true, fresh: f.n}

	// The store has the pair under its new name, and a lookup finds it there.
	if n := tree.enter(to, 7, tree.seen()); n != f.n {
		t.Fatalf("the lookup got node %v, want that of the file", n)
	}
	fs := &fileSystem{tree: tree}
	fs.moved(&renamed, to)
	if n := tree.freshFile(root, "from"); n != nil {
		t.Error("the old name still leads to an uncommitted file")
	}
	if root.dir.freshBelow != 0 {
		t.Errorf("%d uncommitted files, want none", root.dir.freshBelow)
	}
	if f.n.at != to || f.n.gone {
		t.Errorf("the file is at %q, gone: %v", f.n.at.comp, f.n.gone)
	}
}

// A lookup that has read the store before a rename, and comes to the tree after
// it, once took the new file's name away again: who opened it got ESTALE.
func TestLookupOvertakenByARename(t *testing.T) {
	tree := newTree(1)
	root := tree.byID[rootID]
	name, other := slot{root, kindFile, "name"}, slot{root, kindFile, "other"}
	replaced, next := tree.enter(name, 7, 0), tree.enter(other, 8, 0)

	before := tree.seen()
	tree.move(next, name)
	if n := tree.enter(name, 7, before); n != nil {
		t.Error("a reading of the store from before the rename was believed")
	}
	if next.gone || !replaced.gone {
		t.Errorf("gone: the new file %v, the replaced one %v", next.gone, replaced.gone)
	}
	if n := tree.enter(name, 8, before); n != next {
		t.Error("an overtaken lookup that says what the tree says was refused")
	}

	before = tree.seen()
	tree.move(next, other)
	if n := tree.enter(name, 8, before); n != nil {
		t.Error("a lookup brought a file back to the name that it had")
	}
}
