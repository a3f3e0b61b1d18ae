package auth

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBasic(t *testing.T) {
	for name, tt := range map[string]struct{ user, password string }{
		"plain":          {"user", "password"},
		"colon in it":    {"user", "pass:word"},
		"empty password": {"user", ""},
		"UTF-8":          {"üser", "pässword"},
	} {
		t.Run(name, func(t *testing.T) {
			c := Basic(tt.user, tt.password)
			for range 2 {
				grant, err := c.Grant(t.Context())
				require.NoError(t, err)
				require.Equal(t, "Authorization", grant.Header)
				r := &http.Request{Header: http.Header{"Authorization": {grant.Value}}}
				user, password, ok := r.BasicAuth()
				require.True(t, ok)
				require.Equal(t, tt.user, user)
				require.Equal(t, tt.password, password)
				require.Equal(t, []string{tt.password, r.Header.Get("Authorization")[len("Basic "):]}, grant.Secrets())

				newer, err := c.Renew(t.Context(), grant)
				require.NoError(t, err)
				require.False(t, newer, "there is no other pair")
			}
		})
	}
	// Nothing to wait for, so an ended context changes nothing.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Basic("user", "password").Grant(ctx)
	require.NoError(t, err)
}

func TestGrantKeepsItsSecrets(t *testing.T) {
	grant, err := Basic("user", "password").Grant(t.Context())
	require.NoError(t, err)
	grant.Secrets()[0] = "overwritten"
	require.Equal(t, "password", grant.Secrets()[0])
}
