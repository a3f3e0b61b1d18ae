package multiplaytest

import (
	"crypto/subtle"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// authorize checks the credentials of a request and its account service. The
// caller holds s.mu.
func (s *Server) authorize(r *request) *refusal {
	if !s.authenticated(r.Request) {
		return &refusal{http.StatusUnauthorized, "Forbidden"}
	}
	account := r.PathValue("project")
	if account == "" {
		account = r.query.Get("accountserviceid")
		if len(s.config.bearerTokens) > 0 {
			return nil // the token implies it
		}
	}
	if account == "" {
		return badRequest("accountserviceid is required")
	}
	if account != strconv.FormatInt(s.AccountServiceID, 10) {
		return &refusal{http.StatusForbidden, "Forbidden"}
	}
	return nil
}

// authenticated reports whether the request has valid keys, or a valid token
// where tokens are used.
func (s *Server) authenticated(r *http.Request) bool {
	if len(s.config.bearerTokens) > 0 {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		return strings.EqualFold(scheme, "Bearer") && slices.Contains(s.tokens, strings.TrimSpace(token))
	}
	if strings.HasPrefix(r.Header.Get("Authorization"), aws4+" ") {
		return s.signed(r)
	}
	access, secret, ok := r.BasicAuth()
	return ok && equal(access, s.AccessKey) && equal(secret, s.SecretKey)
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// RejectToken invalidates one of the bearer tokens.
func (s *Server) RejectToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = slices.DeleteFunc(s.tokens, func(valid string) bool { return valid == token })
}
