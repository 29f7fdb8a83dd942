package main

import (
	"context"
	"encoding/hex"
	"errors"
	"net"
	"net/http"

	"google.golang.org/grpc"

	"github.com/aditmesh/adit/bench/role"
	relayv1 "github.com/aditmesh/adit/pkg/proto/relayv1"
	"github.com/aditmesh/adit/pkg/rpc"
)

// voucher plays a coordinator that lets any relay join, and has it admit any key, as
// derper does that is told nothing else. It says where it is, and then of each relay
// what nodes would know of it.
func voucher(_ context.Context, conf role.Config, v *role.Voice) error {
	l, err := net.Listen("tcp", conf.Listen.String())
	if err != nil {
		return err
	}
	server := rpc.NewServer(rpc.ServerConfig{
		Authenticate: func(_ context.Context, token string) (any, error) { return token, nil },
	}, func(r grpc.ServiceRegistrar) { relayv1.RegisterRelayServer(r, vouching{voice: v}) })
	defer server.Close()
	mux := http.NewServeMux()
	mux.Handle("/rpc/v1/relay", server)
	go func() { _ = http.Serve(l, mux) }() // until the process ends
	if err := v.Say(role.Ready{Addr: "http://" + conf.Listen.String()}); err != nil {
		return err
	}
	_, err = v.Listen()
	return err
}

// vouching is the coordinator's side of relays.
type vouching struct {
	relayv1.UnimplementedRelayServer
	voice *role.Voice
}

func (s vouching) Connect(stream grpc.BidiStreamingServer[relayv1.Up, relayv1.Down]) error {
	up, err := stream.Recv()
	if err != nil {
		return err
	}
	hello := up.GetHello()
	if hello == nil {
		return errors.New("a relay says hello first")
	}
	if err := s.voice.Say(role.Ready{Addr: hello.GetUrl(), ID: hex.EncodeToString(append(hello.GetUdp().GetKey(), hello.GetUdp().GetDiscoKey()...))}); err != nil {
		return err
	}
	if err := stream.Send(&relayv1.Down{Msg: &relayv1.Down_Welcome{Welcome: &relayv1.Welcome{Name: "bench", Region: "lab"}}}); err != nil {
		return err
	}
	for { // its load
		if _, err := stream.Recv(); err != nil {
			return nil
		}
	}
}

func (vouching) Admit(context.Context, *relayv1.AdmitRequest) (*relayv1.AdmitResponse, error) {
	return &relayv1.AdmitResponse{Admitted: true}, nil
}
