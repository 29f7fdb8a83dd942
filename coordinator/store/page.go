package store

import (
	"time"

	"github.com/google/uuid"
)

// Page says which part of a list is wanted, in the list's order.
type Page struct {
	// After are what the list is sorted by, of the last item that is known: each
	// list says what those are. Nil is the beginning.
	After []string
	// Name is a part of the items' names, in any case; empty lets all pass.
	Name string
	// Max is how many items there may be.
	Max int
}

// after returns one of the texts that the list goes on behind.
func (p Page) after(i int) string {
	if i < len(p.After) {
		return p.After[i]
	}
	return ""
}

// afterTime returns where a list that is sorted by time and id goes on: behind a
// text of [TimeKey], and an id. Others are no places in such a list.
func (p Page) afterTime() (*time.Time, uuid.UUID, error) {
	if len(p.After) == 0 {
		return nil, uuid.Nil, nil
	}
	at, err := time.Parse(timeKey, p.after(0))
	if err != nil {
		return nil, uuid.Nil, ErrPlace
	}
	id, err := p.afterID(1)
	return &at, id, err
}

// afterID returns an id that the list goes on behind.
func (p Page) afterID(i int) (uuid.UUID, error) {
	if len(p.After) == 0 {
		return uuid.Nil, nil
	}
	id, err := uuid.Parse(p.after(i))
	if err != nil {
		return uuid.Nil, ErrPlace
	}
	return id, nil
}

// timeKey writes a time to what Postgres keeps of it.
const timeKey = "2006-01-02T15:04:05.000000Z07:00"

// TimeKey writes a time as a list that is sorted by time wants it.
func TimeKey(t time.Time) string { return t.UTC().Format(timeKey) }

// Scope is the organizations whose things a list has.
type Scope struct {
	// Everywhere is all, and what belongs to none.
	Everywhere    bool
	Organizations []uuid.UUID
}

// in are the organizations as a query has them.
func (s Scope) in() []uuid.UUID {
	if s.Organizations == nil {
		return []uuid.UUID{}
	}
	return s.Organizations
}
