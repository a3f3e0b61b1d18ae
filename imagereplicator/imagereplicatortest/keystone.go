package imagereplicatortest

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// authRequest is the body of POST /v3/auth/tokens.
type authRequest struct {
	Auth struct {
		Identity struct {
			Methods  []string `json:"methods"`
			Password struct {
				User struct {
					ID       string    `json:"id"`
					Name     string    `json:"name"`
					Domain   reference `json:"domain"`
					Password string    `json:"password"`
				} `json:"user"`
			} `json:"password"`
			ApplicationCredential struct {
				ID     string `json:"id"`
				Secret string `json:"secret"`
			} `json:"application_credential"`
			Token reference `json:"token"`
		} `json:"identity"`
		Scope *struct {
			Project reference `json:"project"`
		} `json:"scope"`
	} `json:"auth"`
}

type reference struct {
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
}

const refusal = "The request you have made requires authentication."

func (s *Server) issueToken(w http.ResponseWriter, r *http.Request) {
	var request authRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&request); err != nil || len(request.Auth.Identity.Methods) == 0 {
		writeKeystoneError(w, r, http.StatusBadRequest, "Expecting to find auth.identity.methods in request.")
		return
	}
	as := s.newToken("")
	if scope := request.Auth.Scope; scope != nil {
		as.tenant = scope.Project.ID
	}
	if id := request.Auth.Identity.ApplicationCredential.ID; slices.Contains(request.Auth.Identity.Methods, "application_credential") && id != s.config.appID {
		writeKeystoneError(w, r, http.StatusNotFound, "Could not find Application Credential: "+id+".")
		return
	}
	if !s.authenticate(&request, &as) {
		writeKeystoneError(w, r, http.StatusUnauthorized, refusal)
		return
	}
	if _, known := s.config.tenants[as.tenant]; as.tenant != "" && !known {
		writeKeystoneError(w, r, http.StatusUnauthorized, refusal)
		return
	}
	w.Header().Set("X-Subject-Token", s.tokens.issue(as))
	s.writeToken(w, http.StatusCreated, as, request.Auth.Identity.Methods)
}

// authenticate checks all methods and sets what they determine of the token.
func (s *Server) authenticate(request *authRequest, as *token) bool {
	identity := &request.Auth.Identity
	for _, method := range identity.Methods {
		switch method {
		case "password":
			user := identity.Password.User
			byName := user.Name == s.config.apiKey && (user.Domain.ID == "default" || user.Domain.Name == "Default")
			byID := user.ID == s.config.apiKey
			if !byName && !byID || user.Password != s.config.apiSecret {
				return false
			}
		case "application_credential":
			given := identity.ApplicationCredential
			if given.Secret != s.config.appSecret || request.Auth.Scope != nil {
				return false
			}
			as.tenant = TenantID
		case "token":
			old, ok := s.tokens.find(identity.Token.ID, s.core.Clock().Now())
			if !ok {
				return false
			}
			as.expires = old.expires // a token cannot extend its life
		default:
			return false
		}
	}
	return true
}

func (s *Server) validateToken(w http.ResponseWriter, r *http.Request) {
	now := s.core.Clock().Now()
	if _, ok := s.tokens.find(r.Header.Get("X-Auth-Token"), now); !ok {
		writeKeystoneError(w, r, http.StatusUnauthorized, refusal)
		return
	}
	subject := r.Header.Get("X-Subject-Token")
	found, ok := s.tokens.find(subject, now)
	if !ok {
		writeKeystoneError(w, r, http.StatusNotFound, "Could not find token.")
		return
	}
	w.Header().Set("X-Subject-Token", subject)
	s.writeToken(w, http.StatusOK, found, []string{"password"})
}

// tokenBody describes a token; the token itself is in a header.
type tokenBody struct {
	Methods   []string   `json:"methods"`
	ExpiresAt *string    `json:"expires_at"` // null for never
	IssuedAt  string     `json:"issued_at"`
	User      named      `json:"user"`
	Project   *named     `json:"project,omitempty"`
	Catalog   []*service `json:"catalog,omitempty"`
}

type named struct {
	reference
	Domain reference `json:"domain"`
}

type service struct {
	ID        string     `json:"id"`
	Type      string     `json:"type"`
	Name      string     `json:"name"`
	Endpoints []endpoint `json:"endpoints"`
}

type endpoint struct {
	ID        string `json:"id"`
	Interface string `json:"interface"`
	Region    string `json:"region"`
	RegionID  string `json:"region_id"`
	URL       string `json:"url"`
}

const keystoneTime = "2006-01-02T15:04:05.000000Z"

func (s *Server) writeToken(w http.ResponseWriter, status int, t token, methods []string) {
	domain := reference{ID: "default", Name: "Default"}
	body := tokenBody{
		Methods:  slices.Clone(methods),
		IssuedAt: t.issued.UTC().Format(keystoneTime),
		User:     named{reference: reference{ID: "test-user-id", Name: s.config.apiKey}, Domain: domain},
	}
	if !t.expires.IsZero() {
		expires := t.expires.UTC().Format(keystoneTime)
		body.ExpiresAt = &expires
	}
	if t.tenant != "" {
		body.Project = &named{reference: reference{ID: t.tenant, Name: "test-tenant"}, Domain: domain}
		body.Catalog = s.catalog()
	}
	w.Header().Set("Vary", "X-Auth-Token")
	emulator.WriteJSON(w, status, map[string]any{"token": body})
}

// catalog returns the image storage of each region, with an internal endpoint
// that cannot be reached from outside.
func (s *Server) catalog() []*service {
	identity := &service{ID: "test-identity", Type: "identity", Name: "keystone"}
	image := &service{ID: "test-image", Type: "image", Name: "glance"}
	for _, region := range s.config.regions() {
		identity.Endpoints = append(identity.Endpoints, endpoint{
			ID: "identity-" + region, Interface: "public", Region: region, RegionID: region, URL: s.core.URL() + "/v3",
		})
		image.Endpoints = append(image.Endpoints,
			endpoint{ID: "internal-" + region, Interface: "internal", Region: region, RegionID: region, URL: "http://glance.internal.invalid"},
			endpoint{ID: "public-" + region, Interface: "public", Region: region, RegionID: region, URL: s.core.URL()},
		)
	}
	return []*service{identity, image}
}
