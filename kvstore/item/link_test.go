package item

import (
	"errors"
	"testing"
)

func TestLinkAndBodyRoundTrip(t *testing.T) {
	if body, err := Link(AppendLink(nil, 1<<61+7)); err != nil || body != 1<<61+7 {
		t.Errorf("link to %d, %v", body, err)
	}
	for _, value := range []string{"", "v", "long enough"} {
		got, names, err := CutNames(AppendNames([]byte(value), 65000))
		if err != nil || string(got) != value || names != 65000 {
			t.Errorf("body of %q: %q, %d names, %v", value, got, names, err)
		}
		if cap(got) != len(got) {
			t.Errorf("appending to the value of %q would overwrite its names", value)
		}
	}
}

func TestBadLinksAndBodiesAreRefused(t *testing.T) {
	for _, b := range []string{"", "1234567", "123456789"} {
		if _, err := Link([]byte(b)); !errors.Is(err, ErrBad) {
			t.Errorf("link %q: %v", b, err)
		}
	}
	for name, b := range map[string][]byte{
		"cut off": []byte("123"), "no name": AppendNames(nil, 0), "one name": AppendNames([]byte("v"), 1),
	} {
		if _, _, err := CutNames(b); !errors.Is(err, ErrBad) {
			t.Errorf("body, %s: %v", name, err)
		}
	}
}
