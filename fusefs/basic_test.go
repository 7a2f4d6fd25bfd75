package fusefs_test

import (
	"os"
	"testing"
)

func TestWriteThenRead(t *testing.T) {
	m := newMount(t)
	must(t, os.WriteFile(m.path("a"), []byte("hello"), 0o644))
	m.wantFile("a", "hello")
	m.wantValue("a", "hello")
	must(t, os.MkdirAll(m.path("users/alice"), 0o755))
	must(t, os.WriteFile(m.path("users/alice/email"), []byte("a@b"), 0o644))
	m.wantValue("users/alice/email", "a@b")
	if got := m.names(""); got != "a users" {
		t.Error(got)
	}
	if got := m.names("users/alice"); got != "email" {
		t.Error(got)
	}
}
