package derp

import (
	"sync"
	"time"
)

// often counts who asks how often in a second. Its methods may be called concurrently.
type often[K comparable] struct {
	each int // requests of one in a second
	most int // of whom are counted; strangers beyond those have to ask again

	mu     sync.Mutex // guards what follows
	second time.Time  // when the present one began
	asked  map[K]int  // in it
}

func newOften[K comparable](each, most int) *often[K] {
	return &often[K]{each: each, most: most, asked: make(map[K]int)}
}

// may reports whether somebody may ask once more.
func (o *often[K]) may(who K, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now.Sub(o.second) >= time.Second {
		o.second = now
		clear(o.asked)
	}
	n, known := o.asked[who]
	if n >= o.each || !known && len(o.asked) >= o.most {
		return false
	}
	o.asked[who] = n + 1
	return true
}
