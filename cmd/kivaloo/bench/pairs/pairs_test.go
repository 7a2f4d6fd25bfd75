package pairs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"testing"
)

// The expected bytes were computed apart, with Python's hashlib.
func TestPairsOfTheOriginal(t *testing.T) {
	for _, c := range []struct {
		n          uint64
		key, value string
	}{
		{0, "00000000000000000a88111852095cae045340ea1f0b279944b2a756a213d9b50107d7489771e159",
			"0000000000000000f0d278eacbee4eeac1f3cc75d5efda8dc5dff129bed3da9ad3b0e11fc64ae910"},
		{1, "0000000000000000bd839e8f98c7bf2b8f2bf476f25ffc4ca923273ec4160ff74469c8715d0a698a",
			"00000000000000015cf6a7dc71a7efbaf3bce033a0f76d70233a32d9a26844ebfb4282f2af464217"},
		{65535, "0000000000000000fc14fba19e666ddc38a3b453e555fb6efc67be96070fc3b9493b2bde75d8e790",
			"000000000000ffff0b9125bceab51dc26966eba2a502d9fb25b264fe539c91c12629ae65b3946100"},
		{65536, "00000000000000015590b4a4eb4b7a9dba75b0176d06fbdabd8798d4b444741bb8efff24ad5b63f1",
			"000000000001000037c7b9ecab59eb071e290b49fb91fbecf6924643fb5aacdc28cb74c8fba89b80"},
		{1048575, "000000000000000f13ac759dc686cf2ce07493c7b5c653c33bf4976a8d018d170e0bea4d261a026a",
			"00000000000fffffe5f48bfa35f166e77038bbeaa80a110dd6fe202e7916af123adb112588898ae2"},
	} {
		p := New(c.n)
		if key := hex.EncodeToString(p.Key[:]); key != c.key {
			t.Errorf("key %d is %s, want %s", c.n, key, c.key)
		}
		if value := hex.EncodeToString(p.Value[:]); value != c.value {
			t.Errorf("value %d is %s, want %s", c.n, value, c.value)
		}
	}
}

// TestSetIsSorted compares a group and a part of one with a digest of the whole,
// computed apart as well.
func TestSetIsSorted(t *testing.T) {
	const want = "15bd9d555d5dba78532b8e77e18fbb15436e57700bdfa1a28ac7bb3fb128e889"
	s := Make(GroupPairs + 1000)
	digest := sha256.New()
	for i, p := range s.Pairs {
		digest.Write(p.Key[:])
		digest.Write(p.Value[:])
		if i > 0 && bytes.Compare(s.Pairs[i-1].Key[:], p.Key[:]) >= 0 {
			t.Fatalf("pair %d is not above the one before", i)
		}
	}
	if got := hex.EncodeToString(digest.Sum(nil)); got != want {
		t.Errorf("the pairs have the digest %s, want %s", got, want)
	}
	for n, at := range s.Order {
		if s.Pairs[at] != New(uint64(n)) {
			t.Fatalf("pair %d does not stand at place %d", n, at)
		}
	}
}
