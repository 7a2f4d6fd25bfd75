package namespace

import "strings"

// splitFamily takes apart a text that is a stem, a '%', any number of pads, and
// the byte last at its end. There is at most one way: pads hold no '%'.
func splitFamily(text string, last byte) (stem string, pads int, ok bool) {
	n := len(text)
	if n < 2 || text[n-1] != last {
		return "", 0, false
	}
	stem = text[:n-1]
	for strings.HasSuffix(stem, pad) {
		stem = stem[:len(stem)-len(pad)]
		pads++
	}
	if !strings.HasSuffix(stem, "%") {
		return "", 0, false
	}
	return stem[:len(stem)-1], pads, true
}

// addPad moves a member of the family of stem one place up.
func addPad(text, stem string) string {
	return stem + padText + text[len(stem)+1:]
}

// dropPad moves it one place down.
func dropPad(text, stem string) string {
	return stem + "%" + text[len(stem)+len(padText):]
}
