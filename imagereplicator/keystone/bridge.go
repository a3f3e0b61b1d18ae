package keystone

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/imagejobs/imagejobs-go/internal/auth"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// bridge carries gophercloud's requests over the SDK's own transport, so that
// they have its limits, retries, log and errors, and cannot reach another host
// than that of the base URL.
type bridge struct {
	client  *transport.Client
	secrets []string
}

// RoundTrip sends a request for a token. What is no success comes back as an
// error, with a message made of the answer.
func (b *bridge) RoundTrip(req *http.Request) (*http.Response, error) {
	path, ok := b.segments(req.URL.String())
	if !ok {
		return nil, fmt.Errorf("%s: a request to %s was kept back: log-ins go to Options.AuthURL alone", pkg, req.URL.Host)
	}
	call := &transport.Call{
		Operation: "Tokens.Get",
		Method:    req.Method,
		Path:      path,
		Header:    req.Header.Clone(),
		Repeat:    transport.Safe,
		Secrets:   slices.Concat(b.secrets, req.Header.Values("X-Auth-Token")),
		Secret:    true,
		Check:     describesToken,
	}
	call.Header.Del("User-Agent") // the SDK's own says more
	if req.Method == http.MethodPost {
		call.Operation = "Tokens.Create"
		call.Repeat = transport.Repeatable // one token too many does no harm
	}
	if req.Body != nil {
		defer req.Body.Close()
		data, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		call.Body = transport.BytesBody(req.Header.Get("Content-Type"), data)
	}
	answer, err := transport.DoEmpty(req.Context(), b.client, call)
	if err != nil {
		return nil, err
	}
	// gophercloud takes certain statuses for a success alone, and for the others
	// has an error that repeats the whole answer. What a success is was decided.
	status := http.StatusOK
	if req.Method == http.MethodPost {
		status = http.StatusCreated
	}
	return &http.Response{
		StatusCode:    status,
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        answer.Header,
		Body:          io.NopCloser(bytes.NewReader(answer.Body)),
		ContentLength: int64(len(answer.Body)),
		Request:       req,
	}, nil
}

// segments is the path of target below the base URL, if it is there.
func (b *bridge) segments(target string) ([]string, bool) {
	rest, ok := strings.CutPrefix(target, b.client.BaseURL())
	if !ok || rest != "" && rest[0] != '/' {
		return nil, false
	}
	return strings.FieldsFunc(rest, func(r rune) bool { return r == '/' }), true
}

// describesToken finds the page of a proxy, before it is decoded.
func describesToken(r *transport.Response) error {
	if !json.Valid(r.Body) {
		return errors.New("the answer is not JSON")
	}
	if r.Header.Get("X-Subject-Token") == "" {
		return errors.New("the answer has no X-Subject-Token header")
	}
	return nil
}

// clean is the error below what net/http and gophercloud put around it; what
// they say themselves, they may say with a secret in it.
func (b *bridge) clean(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	text := err.Error()
	for _, secret := range b.secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, auth.Redacted)
		}
	}
	return errors.New(pkg + ": " + text)
}
