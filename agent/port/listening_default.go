//go:build !linux

package port

type scanner struct{ clients bool }

func openScanner() (*scanner, error)                          { return nil, ErrNotDetected }
func (*scanner) slow() bool                                   { return true }
func (*scanner) close()                                       {}
func (*scanner) scan() ([]Socket, error)                      { return nil, ErrNotDetected }
func owners(map[uint32]bool) map[uint32]Program               { return nil }
func visible(sockets []Socket, _ map[uint32]Program) []Socket { return sockets }
