//go:build linux

package proxies

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/internal/wire"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// newTLSServices starts the services with TLS. It returns their URLs and who
// vouches for them.
func newTLSServices(t *testing.T) (s *services, urls []string, roots *x509.CertPool) {
	t.Helper()
	pair := httptest.NewTLSServer(nil) // for its certificate
	pair.Close()
	roots = x509.NewCertPool()
	roots.AddCert(pair.Certificate())
	listen := func() net.Listener {
		l, err := tls.Listen("tcp", "127.0.0.1:0", pair.TLS)
		require.NoError(t, err)
		return l
	}
	s = &services{
		oracle: oraclemarkettest.NewServer(oraclemarkettest.WithListener(listen()), oraclemarkettest.WithJobTime(jobTime)),
		ntt:    imagereplicatortest.NewServer(imagereplicatortest.WithListener(listen()), imagereplicatortest.WithJobTime(jobTime)),
		multi:  multiplaytest.NewServer(multiplaytest.WithListener(listen()), multiplaytest.WithJobTime(jobTime)),
	}
	t.Cleanup(s.oracle.Close)
	t.Cleanup(s.ntt.Close)
	t.Cleanup(s.multi.Close)
	for _, u := range s.urls() {
		urls = append(urls, "https"+strings.TrimPrefix(u, "http"))
	}
	return s, urls, roots
}

// startSquid starts a squid that asks for the password "right" of the user
// release.
func startSquid(t *testing.T) *proxy {
	t.Helper()
	return start(t, "squid", "squid.password.conf", "")
}

// through returns the proxy's address with a user and a password.
func (p *proxy) through(password string) *url.URL {
	u, err := url.Parse(p.url(0))
	require.NoError(p.t, err)
	if password != "" {
		u.User = url.UserPassword("release", password)
	}
	return u
}

// squidLog counts the lines of the access log by status and method.
func squidLog(p *proxy) map[string]int {
	p.t.Helper()
	count := map[string]int{}
	for _, f := range p.log() {
		require.Len(p.t, f, 5)
		if f[1] != "0" && !strings.HasPrefix(f[4], "error:") { // a connection without a request
			count[f[1]+" "+f[3]]++
		}
	}
	return count
}

func TestSquidPassword(t *testing.T) {
	t.Parallel()
	s, urls, roots := newTLSServices(t)
	p := startSquid(t)
	h := keepUntilEnd(t, &http.Transport{
		Proxy:           http.ProxyURL(p.through("right")),
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	})
	s.work(within(t, 2*time.Minute), t, s.clients(h, urls...))
	for line := range squidLog(p) {
		require.Equal(t, "200 CONNECT", line)
	}
}

// A wrong password is sent once, or the account is locked, and the error says
// who refused it. The same goes for a proxy that is asked in plain text.
func TestSquidWrongPassword(t *testing.T) {
	t.Parallel()
	host := func(p *proxy) string { return "the proxy " + p.Sites[0].Listen }
	for name, test := range map[string]struct {
		tls   bool
		ours  bool // the client's own transport
		line  string
		names func(*proxy) string
	}{
		"connect":           {true, true, "407 CONNECT", host},
		"connect, caller's": {true, false, "407 CONNECT", host},
		"plain":             {false, true, "407 ", func(*proxy) string { return "the forward proxy squid" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, urls, roots := newTLSServices(t)
			if !test.tls {
				s = newServices(t)
				urls = s.urls()
			}
			transport := &http.Transport{}
			if test.ours {
				transport = wire.NewTransport(4)
			}
			transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
			p := startSquid(t)
			transport.Proxy = http.ProxyURL(p.through("wrong"))
			c := s.clients(keepUntilEnd(t, transport), urls...)
			calls := []func() error{
				func() error {
					_, err := c.oracle.MachineImages.Upload(t.Context(), newImage(1<<20).upload(256<<10))
					return err
				},
				func() error {
					_, err := c.oracle.MachineImages.Wait(t.Context(), 7)
					return err
				},
				func() error {
					_, err := c.ntt.Jobs.Create(t.Context(), &imagereplicator.CreateJobRequest{
						ImageID: imagereplicatortest.ImageID, DestinationTenantID: imagereplicatortest.DestinationTenantID,
					})
					return err
				},
				func() error {
					_, err := c.ntt.Jobs.Wait(t.Context(), imagereplicatortest.JobID)
					return err
				},
				func() error {
					_, err := c.multi.Release(t.Context(), &multiplay.ReleaseRequest{
						ImageID: multiplaytest.ImageID, MachineID: multiplaytest.MachineID, GameID: multiplaytest.GameID,
						Description: "nightly", Source: files(),
					})
					return err
				},
			}
			for _, call := range calls {
				err := call()
				require.ErrorContains(t, err, "407")
				require.ErrorContains(t, err, test.names(p))
				require.Equal(t, 1, strings.Count(err.Error(), "check the proxy"), "%v", err)
				require.NotContains(t, err.Error(), "wrong")
				require.NotErrorIs(t, err, oraclemarket.ErrAmbiguous)
				require.NotErrorIs(t, err, oraclemarket.ErrTransient)
			}
			refused := 0
			for line, times := range squidLog(p) {
				require.Contains(t, line, test.line)
				refused += times
			}
			require.Equal(t, len(calls), refused)
		})
	}
}

// A cache that keeps what says nothing about caches does not make a job's end
// late.
func TestSquidCache(t *testing.T) {
	t.Parallel()
	s := newServices(t)
	p := start(t, "squid", "squid.cache.conf", "")
	ctx, h := within(t, 2*time.Minute), newHTTP(t, p.through(""))
	c := s.clients(h, s.urls()...)
	s.work(ctx, t, c)

	job := s.held(ctx, t, c)
	require.Equal(t, "replicate_requested", plainJob(t, h, s.ntt.URL, job)) // from now on the cache has it
	require.Equal(t, "replicate_requested", plainJob(t, h, s.ntt.URL, job))
	time.AfterFunc(jobTime, func() { s.ntt.SetStatus(job, imagereplicator.StatusReplicated) })
	copied, err := c.ntt.Jobs.Wait(ctx, job, imagereplicator.WithPollInterval(soon, soon))
	require.NoError(t, err)
	require.Equal(t, imagereplicator.StatusReplicated, copied.Status)
	require.True(t, slices.ContainsFunc(p.log(), func(f []string) bool { return f[2] == "TCP_MEM_HIT" }))
}
