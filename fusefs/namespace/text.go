package namespace

import "strings"

// The text of a component is its name before anything else has a say: see
// "Text" in DESIGN.md. Both directions return their argument when nothing
// changes, which is nearly always.

const (
	pad     = "25" // after a '%', says that the '%' is meant
	nulText = "%00"
	padText = "%25"
)

// encode is the text of a component.
func encode(component string) string {
	switch component {
	case "":
		return "%"
	case ".":
		return "%2E"
	case "..":
		return "%2E."
	}
	if isWhole(component) {
		return padText + component[1:]
	}
	return encodeEscapes(component)
}

// decode is the component of a text: the inverse of encode on every string that
// can be a file name.
func decode(text string) string {
	switch text {
	case "%":
		return ""
	case "%2E":
		return "."
	case "%2E.":
		return ".."
	}
	if isWhole(text) {
		return "%" + text[len(padText):]
	}
	return decodeEscapes(text)
}

// isWhole recognizes the family of the texts of "", "." and "..": these three
// with any number of pads after the '%'. Each stands for the one before it, so
// that literal keys of this shape find room.
func isWhole(s string) bool {
	if s == "" || s[0] != '%' {
		return false
	}
	switch s[1+2*countPads(s[1:]):] {
	case "", "2E", "2E.":
		return true
	}
	return false
}

// countPads counts the pads that s begins with.
func countPads(s string) int {
	n := 0
	for strings.HasPrefix(s[2*n:], pad) {
		n++
	}
	return n
}

// isPaddedNul recognizes what follows the '%' of a NUL's family: %00, %2500,
// %252500 and so on.
func isPaddedNul(s string) bool {
	return strings.HasPrefix(s[2*countPads(s):], "00")
}

// mayHoldNul rules out most strings without a walk through them.
func mayHoldNul(s string) bool {
	at := strings.IndexByte(s, '%')
	return at >= 0 && strings.Contains(s[at:], "00")
}

// encodeEscapes writes each NUL as %00 and puts a pad into each literal member
// of its family.
func encodeEscapes(s string) string {
	if strings.IndexByte(s, 0) < 0 && !mayHoldNul(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == 0:
			b.WriteString(nulText)
		case s[i] == '%' && isPaddedNul(s[i+1:]):
			b.WriteString(padText)
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// decodeEscapes is the inverse of encodeEscapes.
func decodeEscapes(s string) string {
	if !mayHoldNul(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '%' || !isPaddedNul(s[i+1:]):
			b.WriteByte(s[i])
		case s[i+1] == '0':
			b.WriteByte(0)
			i += len(nulText) - 1
		default:
			b.WriteByte('%')
			i += len(pad)
		}
	}
	return b.String()
}
