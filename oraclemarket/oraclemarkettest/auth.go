package oraclemarkettest

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// tokens are the bearer tokens that the server accepts.
type tokens struct {
	mu      sync.Mutex
	fixed   []string
	issued  map[string]time.Time // and when they expire
	counted int
}

func newTokens(c config) tokens {
	return tokens{fixed: c.staticTokens, issued: map[string]time.Time{}}
}

func (t *tokens) valid(token string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Contains(t.fixed, token) || now.Before(t.issued[token])
}

// ExpireTokens invalidates all tokens issued so far. Static ones stay valid.
func (s *Server) ExpireTokens() {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	clear(s.tokens.issued)
}

// RejectToken invalidates one token, issued or static.
func (s *Server) RejectToken(token string) {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	delete(s.tokens.issued, token)
	s.tokens.fixed = slices.DeleteFunc(slices.Clone(s.tokens.fixed), func(fixed string) bool { return fixed == token })
}

// TokensIssued returns how many tokens the server has issued.
func (s *Server) TokensIssued() int {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	return s.tokens.counted
}

// admit checks what all operations but the logins have in common.
func (s *Server) admit(r *http.Request) error {
	user := r.Header.Get("X-Oracle-UserId")
	if user == "" {
		return fail(http.StatusUnauthorized, "the X-Oracle-UserId header is missing")
	}
	if !slices.Contains(s.config.users, user) {
		return fail(http.StatusUnauthorized, "the X-Oracle-UserId header names no user of this account")
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return fail(http.StatusUnauthorized, "the Authorization header has no bearer token")
	}
	if !s.tokens.valid(strings.TrimSpace(token), s.core.Clock().Now()) {
		return fail(http.StatusUnauthorized, "the access token is unknown or has expired")
	}
	if !acceptsJSON(r.Header.Values("Accept")) {
		return fail(http.StatusNotAcceptable, "this test server sends only application/json")
	}
	return nil
}

// acceptsJSON reports whether an Accept header allows JSON.
func acceptsJSON(accept []string) bool {
	all := strings.Join(accept, ",")
	if strings.TrimSpace(all) == "" {
		return true
	}
	for item := range strings.SplitSeq(all, ",") {
		mediaType, params, err := mime.ParseMediaType(item)
		if err != nil {
			continue
		}
		if q, err := strconv.ParseFloat(params["q"], 64); err == nil && q <= 0 {
			continue
		}
		switch mediaType {
		case "*/*", "application/*", "application/json":
			return true
		}
	}
	return false
}

// authenticate is the token endpoint on the API's own host.
func (s *Server) authenticate(w http.ResponseWriter, r *http.Request) error {
	if err := s.checkClient(r); err != nil {
		return err
	}
	emulator.WriteJSON(w, http.StatusOK, struct {
		AssertionType string `json:"oracle_client_assertion_type"`
		ExpiresIn     int64  `json:"expires_in"`
		Context       string `json:"oracle_tk_context"`
		AccessToken   string `json:"access_token"`
	}{
		AssertionType: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
		ExpiresIn:     int64(s.config.tokenLifetime / time.Second),
		Context:       "client_assertion",
		AccessToken:   s.issue(),
	})
	return nil
}

// oamToken is the older token endpoint. Of its response only access_token is
// known.
func (s *Server) oamToken(w http.ResponseWriter, r *http.Request) error {
	if err := s.checkClient(r); err != nil {
		return err
	}
	if r.Header.Get("X-USER-IDENTITY-DOMAIN-NAME") == "" {
		return badRequest("the X-USER-IDENTITY-DOMAIN-NAME header is missing")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxJSON)
	if err := r.ParseForm(); err != nil {
		return badRequest("the form cannot be read: %v", err)
	}
	// The quick start sends no grant_type, scripts send this one.
	if grant := r.Form.Get("grant_type"); grant != "" && grant != "client_credentials" {
		return badRequest("the grant_type is not client_credentials")
	}
	emulator.WriteJSON(w, http.StatusOK, struct {
		ExpiresIn   int64  `json:"expires_in"`
		TokenType   string `json:"token_type"`
		AccessToken string `json:"access_token"`
	}{
		ExpiresIn:   int64(s.config.tokenLifetime / time.Second),
		TokenType:   "Bearer",
		AccessToken: s.issue(),
	})
	return nil
}

func (s *Server) checkClient(r *http.Request) error {
	id, secret, ok := r.BasicAuth()
	if !ok || id != s.config.clientID || secret != s.config.clientSecret {
		return fail(http.StatusUnauthorized, "the client id or secret is wrong")
	}
	return nil
}

// issue makes a token that looks like the documentation's sample: a JWT, but
// not a signed one.
func (s *Server) issue() string {
	now := s.core.Clock().Now()
	expires := now.Add(s.config.tokenLifetime)
	id := s.config.clientID
	encode := base64.RawURLEncoding.EncodeToString
	header, _ := json.Marshal(map[string]string{"alg": "RS256", "typ": "JWT", "kid": "oraclemarkettest"})
	claims, _ := json.Marshal(map[string]any{
		"sub": id, "prn": id, "iss": "ocmcompute",
		"iat": now.Unix(), "exp": expires.Unix(),
		"oracle.oauth.prn.id_type": "ClientID",
		"oracle.oauth.sub.id_type": "ClientID",
		"oracle.oauth.tk_context":  "client_assertion",
		"aud":                      []string{s.core.URL() + "/appstore/marketplace", s.core.URL() + "/appstore/publisher"},
	})
	// The stand-in for a signature also makes every token unique.
	token := fmt.Sprintf("%s.%s.%s", encode(header), encode(claims), encode([]byte(rand.Text())))

	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	s.tokens.issued[token] = expires
	s.tokens.counted++
	return token
}
