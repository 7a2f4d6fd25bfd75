package namespace

import "strings"

// A text over NameBytesMax is cut into pieces. Each piece but the last, with
// cutMark after it, names a virtual directory; the last is a name in the last
// of these. See "Long names" in DESIGN.md.

const (
	cutMark = "%+"

	// pieceBytesMax leaves room for cutMark.
	pieceBytesMax = NameBytesMax - len(cutMark)

	// pieceBytesMin is what is left when an escape would lie across the cut.
	pieceBytesMin = pieceBytesMax - 2
)

// cutAt is the length of the first piece of a text that is too long.
func cutAt(text string) int {
	for at := pieceBytesMin; at < pieceBytesMax; at++ {
		if isEscape(text[at:]) {
			return at
		}
	}
	return pieceBytesMax
}

// isEscape says that the first three bytes are never parted.
func isEscape(s string) bool {
	return strings.HasPrefix(s, nulText) || strings.HasPrefix(s, padText)
}

// isCutName says that a name is a virtual directory's: whatever else would have
// such a name is moved away from it by guardCut.
func isCutName(name string) bool {
	return strings.HasSuffix(name, cutMark) && len(name) >= pieceBytesMin+len(cutMark)
}

// piece is the name that a text has in the virtual directory that the pieces up
// to cut lead to (in the real one, when cut is empty), and whether it is a
// virtual directory there. It is not ok when the text does not pass there.
func piece(text, cut string) (name string, virtual, ok bool) {
	if !strings.HasPrefix(text, cut) {
		return "", false, false
	}
	at := 0
	for at < len(cut) && len(text)-at > NameBytesMax {
		at += cutAt(text[at:])
	}
	if at != len(cut) {
		return "", false, false
	}
	rest := text[at:]
	if len(rest) > NameBytesMax {
		return rest[:cutAt(rest)] + cutMark, true, true
	}
	return rest, false, true
}

// guardCut moves a text whose last piece would pass for a virtual directory,
// and with it its whole family, one place up.
func guardCut(text string) string {
	stem, _, ok := splitFamily(text, '+')
	if !ok || !endsInCutName(stem+cutMark) {
		return text
	}
	return addPad(text, stem)
}

// unguardCut is the inverse of guardCut on every text whose last piece is no
// virtual directory's name.
func unguardCut(text string) string {
	stem, pads, ok := splitFamily(text, '+')
	if !ok || pads == 0 || !endsInCutName(stem+cutMark) {
		return text
	}
	return dropPad(text, stem)
}

// endsInCutName says that the last piece of text is a virtual directory's name.
func endsInCutName(text string) bool {
	for len(text) > NameBytesMax {
		text = text[cutAt(text):]
	}
	return isCutName(text)
}

// extendCut is the cut of the virtual directory called name in that of cut. It
// is not ok when no text is cut in both places: two pieces of wrong lengths can
// end where two right ones do, and would be a second path to what is there.
func extendCut(cut, name string) (longer string, ok bool) {
	longer = cut + strings.TrimSuffix(name, cutMark)
	at := 0
	for at < len(cut) {
		at += cutAt(longer[at:])
	}
	return longer, at == len(cut)
}

// cutPrefix is what the components have in common whose texts are cut after
// cut. Others may begin with it too. Where cut ends among pads, the component
// may have one pad less, so the last one and what stands after it is left out.
func cutPrefix(cut string) string {
	at := strings.LastIndexByte(cut, '%')
	if at < 0 {
		return cut
	}
	run := cut[at+1:]
	pads := countPads(run)
	tail := run[2*pads:]
	if pads == 0 || tail != "" && tail != "0" && tail != "2" {
		return decodeEscapes(cut)
	}
	return decodeEscapes(cut[:at]) + cut[at:at+1+2*(pads-1)]
}
