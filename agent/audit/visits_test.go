package audit

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func client(host byte, port int) net.Addr {
	return &net.TCPAddr{IP: net.IP{10, 0, 0, host}, Port: port}
}

// A browser opens connections, closes them and comes back; that is one visit, which
// ends when the last connection did.
func TestConnectionsSoonAfterEachOtherAreOneVisit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		news := make(chan Record, 10)
		var told []Record
		v := &Visits{Tell: func(r Record) { news <- r }}
		heard := func() []Record {
			synctest.Wait()
			for len(news) > 0 {
				told = append(told, <-news)
			}
			return told
		}
		began := time.Now()
		e, leave := v.Enter(KindForwards, client(1, 1000))
		_, leaveToo := v.Enter(KindForwards, client(1, 1001))
		e.In(10)
		e.Out(100)
		leave()
		time.Sleep(time.Hour)
		leaveToo()
		time.Sleep(quiet - time.Second)
		e, leave = v.Enter(KindForwards, client(1, 1002))
		e.In(1)
		time.Sleep(time.Minute)
		leave()
		left := time.Now()
		if told := heard(); len(told) != 1 || !told[0].Ended.IsZero() {
			t.Fatalf("while it is under way: %+v", told)
		}
		time.Sleep(quiet)
		if told := heard(); len(told) != 2 {
			t.Fatalf("told %+v", told)
		}
		if r := told[1]; r.ID != told[0].ID || !r.Started.Equal(began) || !r.Ended.Equal(left) || r.Rx != 11 || r.Tx != 100 || r.Kind != KindForwards {
			t.Errorf("the visit: %+v", r)
		}
		_, leave = v.Enter(KindForwards, client(1, 1003))
		leave()
		if told := heard(); len(told) != 3 || told[2].ID == told[0].ID {
			t.Errorf("the next visit: %+v", told[2:])
		}
		v.Close()
	})
}

func TestClientsAndKindsAreVisitsOfTheirOwn(t *testing.T) {
	var told []Record
	v := &Visits{Tell: func(r Record) { told = append(told, r) }}
	v.Enter(KindForwards, client(1, 1))
	v.Enter(KindFiles, client(1, 2))
	v.Enter(KindFiles, client(2, 1))
	v.Close()
	ended := 0
	for _, r := range told {
		if !r.Ended.IsZero() {
			ended++
		}
	}
	if len(told) != 6 || ended != 3 {
		t.Errorf("told %+v", told)
	}
}

func TestNobodyIsAudited(t *testing.T) {
	var v *Visits
	e, leave := v.Enter(KindFiles, client(1, 1))
	e.In(1)
	e.Out(1)
	e.End(time.Now())
	leave()
}
