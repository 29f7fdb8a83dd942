package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"

	aditv1 "github.com/aditmesh/adit/pkg/proto/aditv1"
	"github.com/aditmesh/adit/pkg/rpc"
	"github.com/aditmesh/adit/pkg/sdk"
)

// The server's own TLS speaks HTTP/2 to those who want it, which gRPC needs, and
// HTTP/1.1 to the others, which WebSockets need: grpc-go is the judge of the first,
// nodes of the second.
func TestGRPCOverTheServersOwnTLS(t *testing.T) {
	quiet(t)
	cert, key, roots := certificate(t)
	l, err := net.Listen("tcp", "127.0.0.1:0") // a port that is free
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, lines := startBinary(t, addr, "--tls-cert", cert, "--tls-key", key)
	within(t, lines, "adit server ready at https://")

	web := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	t.Cleanup(web.CloseIdleConnections)
	u := &url.URL{Scheme: "https", Host: addr}
	anybody := sdk.New(u, "").WithTransport(web)
	if _, err := anybody.CreateFirstUser(t.Context(), sdk.FirstUser{Username: "alice", Email: "alice@example.com", Password: "correct horse"}); err != nil {
		t.Fatal(err)
	}
	session, err := anybody.Login(t.Context(), sdk.Login{Username: "alice", Password: "correct horse"})
	if err != nil {
		t.Fatal(err)
	}

	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots})))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	call := func(token, method string, in, out any, opts ...grpc.CallOption) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return conn.Invoke(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token), "/adit.v1.Workspaces/"+method, in, out, opts...)
	}
	var made aditv1.CreatedWorkspace
	if err := call(session.Token, "CreateWorkspace", &aditv1.CreateWorkspaceRequest{Name: "dev", External: true}, &made); err != nil || made.GetAgentToken() == "" {
		t.Fatalf("%v, %v", &made, err)
	}
	var list aditv1.ListWorkspacesResponse
	if err := call(session.Token, "ListWorkspaces", &aditv1.ListWorkspacesRequest{}, &list); err != nil || len(list.GetItems()) != 1 || list.GetItems()[0].GetOrganization() != "default" {
		t.Errorf("%v, %v", &list, err)
	}
	var trailer metadata.MD
	err = call(session.Token, "GetWorkspace", &aditv1.WorkspaceName{Name: "none"}, new(aditv1.Workspace), grpc.Trailer(&trailer))
	if grpcstatus.Code(err) != codes.NotFound || strings.Join(trailer.Get("adit-code"), "") != "not-found" {
		t.Errorf("%v with %v, want NotFound with the problem's code", err, trailer)
	}
	if err := call("xyzzy", "ListWorkspaces", &aditv1.ListWorkspacesRequest{}, &list); grpcstatus.Code(err) != codes.Unauthenticated {
		t.Errorf("a bad token: %v, want Unauthenticated", err)
	}

	// A node's control stream is a WebSocket, on the same port.
	c, err := rpc.Dial(t.Context(), rpc.DialConfig{URL: u, Path: "/rpc/v1/node", Token: made.GetAgentToken(), HTTPClient: &http.Client{Transport: web}})
	if err != nil {
		t.Fatalf("a node: %v", err)
	}
	c.Close()
	for _, proto := range []string{"h2", "http/1.1"} {
		conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: roots, NextProtos: []string{proto}})
		if err != nil || conn.ConnectionState().NegotiatedProtocol != proto {
			t.Errorf("%s is not spoken: %v", proto, err)
			continue
		}
		conn.Close()
	}
}

// within reads lines until one contains text.
func within(t *testing.T, lines <-chan string, text string) {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				t.Fatalf("the server ended before: %s", text)
			}
			if strings.Contains(line, text) {
				return
			}
		case <-timeout:
			t.Fatalf("not within %v: %s", patience, text)
		}
	}
}

// certificate writes a certificate for 127.0.0.1 and its key to files, and returns
// who trusts it.
func certificate(t *testing.T) (cert, key string, roots *x509.CertPool) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key, roots = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), x509.NewCertPool()
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return cert, key, roots
}
