package imagereplicatortest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"sync"
	"time"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
)

// token is what the server knows about a token.
type token struct {
	tenant  string // empty for an unscoped one
	issued  time.Time
	expires time.Time // zero for never
}

type tokens struct {
	mu      sync.Mutex
	valid   map[string]token
	counted int
}

func newTokens(c config) *tokens {
	t := &tokens{valid: map[string]token{}}
	for _, static := range c.staticTokens {
		t.valid[static] = token{tenant: TenantID}
	}
	return t
}

func (t *tokens) find(value string, now time.Time) (token, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	found, ok := t.valid[value]
	return found, ok && (found.expires.IsZero() || now.Before(found.expires))
}

func (t *tokens) issue(as token) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	value := hex.EncodeToString(b[:])
	t.mu.Lock()
	defer t.mu.Unlock()
	t.valid[value] = as
	t.counted++
	return value
}

// TokenSource returns tokens of [TenantID], as a login at the server does but
// without HTTP.
func (s *Server) TokenSource() imagereplicator.TokenSource {
	return imagereplicator.TokenSourceFunc(func(context.Context) (imagereplicator.Token, error) {
		as := s.newToken(TenantID)
		return imagereplicator.NewToken(s.tokens.issue(as), as.expires), nil
	})
}

func (s *Server) newToken(tenant string) token {
	now := s.core.Clock().Now()
	return token{tenant: tenant, issued: now, expires: now.Add(s.config.tokenLifetime)}
}

// ExpireTokens invalidates all tokens issued so far. Static ones stay valid.
func (s *Server) ExpireTokens() {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	for value, t := range s.tokens.valid {
		if !t.expires.IsZero() {
			delete(s.tokens.valid, value)
		}
	}
}

// RejectToken invalidates one token, issued or static.
func (s *Server) RejectToken(token string) {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	delete(s.tokens.valid, token)
}

// TokensIssued returns how many tokens the server has issued.
func (s *Server) TokensIssued() int {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	return s.tokens.counted
}
