package terraform

import "testing"

func TestPreparationsAreBoundedAndTheLatestStay(t *testing.T) {
	var all preparations
	key := func(i int) (k [32]byte) { k[0] = byte(i); return k }
	for i := range maxPreparations {
		all.add(&preparation{key: key(i)})
	}
	all.find(key(0)) // in use
	all.add(&preparation{key: key(maxPreparations)})
	if n := len(all.all); n != maxPreparations {
		t.Errorf("%d are kept, want %d", n, maxPreparations)
	}
	if all.find(key(0)) == nil || all.find(key(1)) != nil {
		t.Error("the one that was used is gone, or the one that was used least is there")
	}
}
