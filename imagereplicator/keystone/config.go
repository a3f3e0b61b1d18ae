package keystone

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/gophercloud/gophercloud/v2/openstack"

	"github.com/imagejobs/imagejobs-go/internal/auth"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// FromEnv are the options that the environment gives: with OS_CLOUD those of
// that cloud, as FromCloud; without it those of OS_AUTH_URL, OS_USERNAME or
// OS_USERID, OS_PASSWORD, OS_PROJECT_ID or OS_PROJECT_NAME (or the older
// OS_TENANT_…), OS_DOMAIN_ID or OS_DOMAIN_NAME, OS_APPLICATION_CREDENTIAL_ID
// and _SECRET, and OS_REGION_NAME. An error names the variable that is missing.
func FromEnv() (Options, error) {
	if name := os.Getenv("OS_CLOUD"); name != "" {
		return FromCloud(name)
	}
	auth, err := openstack.AuthOptionsFromEnv()
	if err != nil {
		return Options{}, transport.Invalid(pkg, "FromEnv", "%v", err)
	}
	auth.DomainID = cmp.Or(auth.DomainID, os.Getenv("OS_USER_DOMAIN_ID"))
	return Options{Auth: auth, Region: os.Getenv("OS_REGION_NAME")}, nil
}

// Format implements fmt.Formatter, so that no verb shows a secret.
func (o Options) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, auth.Redacted) }

// LogValue implements slog.LogValuer.
func (o Options) LogValue() slog.Value { return slog.StringValue(auth.Redacted) }

// MarshalJSON keeps the secrets out of JSON logs.
func (o Options) MarshalJSON() ([]byte, error) { return json.Marshal(auth.Redacted) }
