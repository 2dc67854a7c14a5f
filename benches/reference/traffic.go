package main

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
)

// Traffic is what was received, as it came over the wire: encrypted, and compressed where the server does so.
type Traffic struct {
	bytes, requests atomic.Int64
}

// Count makes a client count.
func (t *Traffic) Count(config *rest.Config) {
	// That of client-go.
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &countedConn{conn, t}, nil
	}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &countedRequests{next, t} })
}

type countedConn struct {
	net.Conn
	traffic *Traffic
}

func (c *countedConn) Read(buffer []byte) (int, error) {
	n, err := c.Conn.Read(buffer)
	c.traffic.bytes.Add(int64(n))
	return n, err
}

type countedRequests struct {
	next    http.RoundTripper
	traffic *Traffic
}

func (c *countedRequests) RoundTrip(request *http.Request) (*http.Response, error) {
	c.traffic.requests.Add(1)
	return c.next.RoundTrip(request)
}
