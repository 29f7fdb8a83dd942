package names

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

var prefix = netip.MustParsePrefix("fdad:17:ad17::/48")

func table() *Table {
	var t Table
	t.Set("alice", []Host{
		{ID: "1", Agent: "main", Workspace: "dev", Owner: "alice", Addr: netip.MustParseAddr("fdad:17:ad17::1"), Addr4: netip.MustParseAddr("100.64.0.1")},
		{ID: "2", Agent: "api", Workspace: "shop", Owner: "alice", Addr: netip.MustParseAddr("fdad:17:ad17::2")},
		{ID: "3", Agent: "db", Workspace: "shop", Owner: "alice", Addr: netip.MustParseAddr("fdad:17:ad17::3")},
		{ID: "4", Agent: "main", Workspace: "Dev", Owner: "bob", Addr: netip.MustParseAddr("fdad:17:ad17::4")},
		{ID: "5", Agent: "main", Workspace: "bob", Owner: "alice", Addr: netip.MustParseAddr("fdad:17:ad17::5")},
	})
	return &t
}

func server(t testing.TB, cfg Config) *Server {
	t.Helper()
	cfg.Suffix, cfg.Owns = "adit", prefix.Contains
	if cfg.Table == nil {
		cfg.Table = table()
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func query(t testing.TB, name string, kind dnsmessage.Type) []byte {
	t.Helper()
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 7, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}},
	}
	raw, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// tell writes an answer in words.
func tell(t testing.TB, reply []byte) string {
	t.Helper()
	var m dnsmessage.Message
	if err := m.Unpack(reply); err != nil {
		t.Fatalf("%x: %v", reply, err)
	}
	if m.ID != 7 || !m.Response || len(m.Questions) != 1 {
		t.Errorf("not an answer to the question: %v", m.GoString())
	}
	text := m.RCode.String()[len("RCode"):]
	for _, a := range m.Answers {
		switch r := a.Body.(type) {
		case *dnsmessage.AAAAResource:
			text += " " + netip.AddrFrom16(r.AAAA).String()
		case *dnsmessage.AResource:
			text += " " + netip.AddrFrom4(r.A).String()
		case *dnsmessage.PTRResource:
			text += " " + r.PTR.String()
		}
	}
	if len(m.Answers) == 0 && m.RCode != dnsmessage.RCodeRefused && len(m.Authorities) != 1 {
		t.Errorf("nothing says for how long the answer is no")
	}
	return text
}

func TestAnswers(t *testing.T) {
	const aaaa, a, ptr = dnsmessage.TypeAAAA, dnsmessage.TypeA, dnsmessage.TypePTR
	s := server(t, Config{})
	for _, tt := range []struct {
		name string
		kind dnsmessage.Type
		want string
	}{
		{"main.dev.alice.adit.", aaaa, "Success fdad:17:ad17::1"},
		{"dev.alice.adit.", aaaa, "Success fdad:17:ad17::1"},
		{"DEV.adit.", aaaa, "Success fdad:17:ad17::1"},
		{"dev.adit.", a, "Success 100.64.0.1"},
		{"dev.adit.", dnsmessage.TypeALL, "Success fdad:17:ad17::1 100.64.0.1"},
		{"dev.bob.adit.", aaaa, "Success fdad:17:ad17::4"},
		{"dev.bob.adit.", a, "Success"},
		{"dev.adit.", dnsmessage.TypeMX, "Success"},
		// One's own workspace may be called as another user.
		{"bob.adit.", aaaa, "Success fdad:17:ad17::5"},
		// Which of two agents is meant nobody knows.
		{"shop.adit.", aaaa, "Success"},
		{"shop.alice.adit.", aaaa, "Success"},
		{"db.shop.alice.adit.", aaaa, "Success fdad:17:ad17::3"},
		{"alice.adit.", aaaa, "Success"},
		{"adit.", aaaa, "Success"},
		{"nosuch.adit.", aaaa, "NameError"},
		{"x.main.dev.alice.adit.", aaaa, "NameError"},
		{"4.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.7.1.d.a.7.1.0.0.d.a.d.f.ip6.arpa.", ptr, "Success main.dev.bob.adit."},
		{"9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.7.1.d.a.7.1.0.0.d.a.d.f.ip6.arpa.", ptr, "NameError"},
	} {
		reply, ours := s.reply(query(t, tt.name, tt.kind))
		if !ours {
			t.Errorf("%s is not ours", tt.name)
			continue
		}
		if got := tell(t, reply); got != tt.want {
			t.Errorf("%s %v: %s, want %s", tt.name, tt.kind, got, tt.want)
		}
	}
	for _, name := range []string{"example.com.", "notadit.", "adit.example.com.", ".", "1.0.0.10.in-addr.arpa.", "x.ip6.arpa."} {
		if reply, ours := s.reply(query(t, name, aaaa)); ours {
			t.Errorf("%s is taken for ours: %x", name, reply)
		}
	}
}

// Whoever asks for an address is about to speak.
func TestLookupsAreTold(t *testing.T) {
	var asked []string
	s := server(t, Config{Asked: func(h Host) { asked = append(asked, h.ID) }})
	for _, name := range []string{"dev.adit.", "nosuch.adit.", "shop.adit.", "db.shop.alice.adit."} {
		s.reply(query(t, name, dnsmessage.TypeAAAA))
		s.reply(query(t, name, dnsmessage.TypeTXT))
	}
	if fmt.Sprint(asked) != "[1 3]" {
		t.Errorf("told of %v", asked)
	}
}

func ask(t *testing.T, network string, at netip.AddrPort, q []byte) []byte {
	t.Helper()
	conn, err := net.Dial(network, at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if network == "tcp" {
		if err := writeMessage(conn, q); err != nil {
			t.Fatal(err)
		}
		reply, err := readMessage(conn)
		if err != nil {
			t.Fatal(err)
		}
		return reply
	}
	if _, err := conn.Write(q); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, maxMessage)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

func TestTheServerSurvivesGarbage(t *testing.T) {
	s := server(t, Config{})
	if err := s.Listen(netip.MustParseAddrPort("127.0.0.1:0")); err != nil {
		t.Fatal(err)
	}
	at := s.serving[0].(*net.UDPConn).LocalAddr().(*net.UDPAddr).AddrPort()
	for _, q := range [][]byte{{}, {1}, []byte("GET / HTTP/1.1\r\n\r\n"), query(t, "dev.adit.", dnsmessage.TypeA)[:14]} {
		conn, err := net.Dial("udp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(q); err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	for _, network := range []string{"udp", "tcp"} {
		if got := tell(t, ask(t, network, at, query(t, "dev.adit.", dnsmessage.TypeAAAA))); got != "Success fdad:17:ad17::1" {
			t.Errorf("%s: %s", network, got)
		}
		if got := tell(t, ask(t, network, at, query(t, "example.com.", dnsmessage.TypeAAAA))); got != "Refused" {
			t.Errorf("%s, another's name: %s", network, got)
		}
	}
}

// The oracle is dnsmessage's own parser: what it reads as a query is answered with
// what it reads as the answer to that.
func FuzzAnswer(f *testing.F) {
	f.Add(query(f, "dev.adit.", dnsmessage.TypeAAAA))
	f.Add(query(f, "1.0.0.10.in-addr.arpa.", dnsmessage.TypePTR))
	s := server(f, Config{})
	f.Fuzz(func(t *testing.T, q []byte) {
		reply, ours := s.reply(q)
		if !ours || reply == nil {
			return
		}
		var m dnsmessage.Message
		if err := m.Unpack(reply); err != nil || !m.Response || m.ID != uint16(q[0])<<8|uint16(q[1]) {
			t.Errorf("%x is answered with %x (%v)", q, reply, err)
		}
	})
}
