package meshaddr

import (
	"testing"

	"github.com/google/uuid"
)

func TestFromID(t *testing.T) {
	id := uuid.MustParse("00112233-4455-4677-8899-aabbccddeeff")
	addr := FromID(id)
	if got, want := addr.String(), "fdad:17:ad17:11:2233:4455:4677:8899"; got != want {
		t.Errorf("FromID(%v) = %v, want %v", id, got, want)
	}
	if !Prefix.Contains(addr) {
		t.Errorf("%v is outside %v", addr, Prefix)
	}
}
