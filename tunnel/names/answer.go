package names

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// ttl is how long, in seconds, others may remember an answer: names follow
	// workspaces within a second.
	ttl = 1

	// udpSize is the largest datagram that is taken and sent, in bytes: what passes
	// every path unfragmented (dnsflagday.net/2020).
	udpSize = 1232
)

// errNotOurs is a question that others are to answer.
var errNotOurs = errors.New("not a name of the mesh")

// answer returns the answer to a query of one question, and whose address it tells. The
// error is errNotOurs for what is not under the suffix, nor an address of the mesh.
func (s *Server) answer(query []byte) (text []byte, asked *Host, err error) {
	var p dnsmessage.Parser
	h, err := p.Start(query)
	if err != nil || h.Response {
		return nil, nil, fmt.Errorf("names: not a query: %w", err)
	}
	q, err := p.Question()
	if err != nil {
		return nil, nil, fmt.Errorf("names: a query without a question: %w", err)
	}
	if h.OpCode != 0 {
		return nil, nil, errNotOurs
	}
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	a := reply{query: h, question: q, edns: hasEDNS(&p)}
	switch sub, ours := strings.CutSuffix("."+name, "."+s.suffix); {
	case ours:
		if err := a.byName(s, strings.TrimPrefix(sub, ".")); err != nil {
			return nil, nil, err
		}
	default:
		addr, isAddr := reverseName(name)
		if !isAddr || !s.owns(addr) {
			return nil, nil, errNotOurs
		}
		a.byAddr(s, s.table.Reverse(addr))
	}
	text, err = a.build(s.soa)
	return text, a.host, err
}

// reply is an answer in the making.
type reply struct {
	query    dnsmessage.Header
	question dnsmessage.Question
	edns     bool
	code     dnsmessage.RCode
	host     *Host
	bodies   []dnsmessage.ResourceBody
}

func (a *reply) byName(s *Server, sub string) error {
	host, ok := s.table.Lookup(sub)
	if !ok && sub != "" {
		a.code = dnsmessage.RCodeNameError
		return nil
	}
	if host == nil {
		return nil // there is such a name, and nothing about it
	}
	want := func(t dnsmessage.Type) bool {
		return a.question.Class == dnsmessage.ClassINET && (a.question.Type == t || a.question.Type == dnsmessage.TypeALL)
	}
	if want(dnsmessage.TypeAAAA) {
		a.bodies = append(a.bodies, &dnsmessage.AAAAResource{AAAA: host.Addr.As16()})
	}
	if want(dnsmessage.TypeA) && host.Addr4.Is4() {
		a.bodies = append(a.bodies, &dnsmessage.AResource{A: host.Addr4.As4()})
	}
	if len(a.bodies) > 0 { // who asks for anything else is not about to speak to it
		a.host = host
	}
	return nil
}

func (a *reply) byAddr(s *Server, host *Host) {
	if host == nil {
		a.code = dnsmessage.RCodeNameError
		return
	}
	if a.question.Type != dnsmessage.TypePTR && a.question.Type != dnsmessage.TypeALL {
		return
	}
	if name, err := dnsmessage.NewName(strings.ToLower(host.Name()) + "." + s.suffix + "."); err == nil {
		a.bodies = append(a.bodies, &dnsmessage.PTRResource{PTR: name})
	}
}

// build writes the answer. One that says no comes with soa, which says for how long.
func (a *reply) build(soa dnsmessage.SOAResource) ([]byte, error) {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{
		ID: a.query.ID, Response: true, Authoritative: true, RecursionDesired: a.query.RecursionDesired, RecursionAvailable: true, RCode: a.code,
	})
	b.EnableCompression()
	header := dnsmessage.ResourceHeader{Name: a.question.Name, Class: dnsmessage.ClassINET, TTL: ttl}
	errs := []error{b.StartQuestions(), b.Question(a.question), b.StartAnswers()}
	for _, body := range a.bodies {
		switch r := body.(type) {
		case *dnsmessage.AAAAResource:
			errs = append(errs, b.AAAAResource(header, *r))
		case *dnsmessage.AResource:
			errs = append(errs, b.AResource(header, *r))
		case *dnsmessage.PTRResource:
			errs = append(errs, b.PTRResource(header, *r))
		}
	}
	if len(a.bodies) == 0 {
		header.Name = soa.NS
		errs = append(errs, b.StartAuthorities(), b.SOAResource(header, soa))
	}
	if a.edns {
		var opt dnsmessage.ResourceHeader
		errs = append(errs, opt.SetEDNS0(udpSize, dnsmessage.RCodeSuccess, false), b.StartAdditionals(), b.OPTResource(opt, dnsmessage.OPTResource{}))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("names: answer about %s: %w", a.question.Name, err)
	}
	return b.Finish()
}

// hasEDNS reports whether the query whose first question was read says what it can
// (RFC 6891): then so must the answer.
func hasEDNS(p *dnsmessage.Parser) bool {
	if p.SkipAllQuestions() != nil || p.SkipAllAnswers() != nil || p.SkipAllAuthorities() != nil {
		return false
	}
	for {
		h, err := p.AdditionalHeader()
		if err != nil {
			return false
		}
		if h.Type == dnsmessage.TypeOPT {
			return true
		}
		if p.SkipAdditional() != nil {
			return false
		}
	}
}

// refused answers a query that nobody here can answer, with code.
func refused(query []byte, code dnsmessage.RCode) []byte {
	var p dnsmessage.Parser
	h, err := p.Start(query)
	if err != nil || h.Response {
		return nil
	}
	questions, _ := p.AllQuestions() // those that can be read
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: h.ID, Response: true, OpCode: h.OpCode, RecursionDesired: h.RecursionDesired, RCode: code},
		Questions: questions,
	}
	text, err := m.Pack()
	if err != nil {
		return nil
	}
	return text
}

// reverseName returns the address that a name of the reverse zones stands for.
func reverseName(name string) (netip.Addr, bool) {
	if hex, ok := strings.CutSuffix(name, ".ip6.arpa"); ok {
		digits := strings.Split(hex, ".")
		slices.Reverse(digits)
		if len(digits) != 32 {
			return netip.Addr{}, false
		}
		var raw [16]byte
		for i, d := range digits {
			v, err := strconv.ParseUint(d, 16, 4)
			if err != nil || len(d) != 1 {
				return netip.Addr{}, false
			}
			raw[i/2] = raw[i/2]<<4 | byte(v)
		}
		return netip.AddrFrom16(raw), true
	}
	if v4, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		parts := strings.Split(v4, ".")
		slices.Reverse(parts)
		addr, err := netip.ParseAddr(strings.Join(parts, "."))
		return addr, err == nil && addr.Is4()
	}
	return netip.Addr{}, false
}
