package imagereplicatortest

import (
	"maps"
	"net"
	"slices"
	"time"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// What every server has from the start. The ids are those of the API
// reference's execution example and of the tests of NTT's own SDK, except for
// ThirdTenantID and FourthTenantID, which are invented.
const (
	// JobID is the job of the execution example: cancel_requested, from ImageID
	// to DestinationTenantID.
	JobID = "33911588-c299-4369-a240-7e5b741cdb6a"
	// Token is the token of the execution example, scoped to TenantID. It never
	// expires.
	Token = "f4328bab05ff4502b397b88657baaefd" //nolint:gosec // printed in a public document

	// TenantID is the source tenant.
	TenantID = "236ae314ef6944f4ab98fa7519e54325"
	// Region is the region of TenantID.
	Region = "ot1"
	// DestinationTenantID is a tenant in another region.
	DestinationTenantID = "91b5c7c09cbd45caa3c146fd67ae471e"
	// DestinationRegion is the region of DestinationTenantID.
	DestinationRegion = "ot2"
	// ThirdTenantID is in region ot3.
	ThirdTenantID = "72ab9350a47a4173966ad02dc51b32a1"
	// FourthTenantID is in region ot4.
	FourthTenantID = "5d0c1f9be6a94c3fa3d5c7b1e2f40816"

	// ImageID is the image "Test-image-Ubuntu".
	ImageID = "335eef3f-551d-46e1-8781-173f43209d48"
	// OtherImageID is the image "Test-image-CentOS".
	OtherImageID = "4ddf938a-2cff-46a8-ab7b-efb48c8f79a7"
)

// Image is an image in the source region; see [WithImage].
type Image struct {
	ID   string // a UUID
	Name string // as jobs show it
	// Status is "active" if empty. An image with any other status cannot be
	// copied: the response is a 409.
	Status string
}

// An Option configures a [Server].
type Option func(*config)

type config struct {
	server     emulator.Config
	now        func() time.Time
	speed      float64
	jobTime    time.Duration
	outcome    imagereplicator.Status
	cancelLag  time.Duration
	lostCancel bool
	listLag    time.Duration

	apiKey, apiSecret string
	appID, appSecret  string
	staticTokens      []string
	tokenLifetime     time.Duration

	tenants map[string]string // regions by tenant
	images  map[string]Image
}

func newConfig(opts []Option) config {
	c := config{
		jobTime:       3 * time.Second,
		outcome:       imagereplicator.StatusReplicated,
		cancelLag:     time.Second,
		apiKey:        "test-api-key",
		apiSecret:     "test-api-secret",
		appID:         "test-application-credential-id",
		appSecret:     "test-application-credential-secret",
		staticTokens:  []string{Token},
		tokenLifetime: time.Hour,
		tenants: map[string]string{
			TenantID:            Region,
			DestinationTenantID: DestinationRegion,
			ThirdTenantID:       "ot3",
			FourthTenantID:      "ot4",
		},
		images: map[string]Image{
			ImageID:      {ID: ImageID, Name: "Test-image-Ubuntu"},
			OtherImageID: {ID: OtherImageID, Name: "Test-image-CentOS"},
		},
	}
	for _, opt := range opts {
		opt(&c)
	}
	c.server.Clock = emulator.NewClock(c.now, c.speed)
	return c
}

// regions returns the regions of all tenants.
func (c *config) regions() []string {
	return slices.Compact(slices.Sorted(maps.Values(c.tenants)))
}

// WithListener serves on listener, for example one in memory, instead of on a
// loopback port. The server closes it. If it is not a TCP listener, URL is
// http://localhost and clients need a dialer that reaches the listener.
func WithListener(listener net.Listener) Option {
	return func(c *config) { c.server.Listener = listener }
}

// WithClock sets the server's clock, [time.Now] by default. The function must
// be safe for concurrent use.
func WithClock(now func() time.Time) Option {
	return func(c *config) { c.now = now }
}

// WithSpeed makes jobs run factor times as fast. Lags and the lifetime of
// tokens are not affected.
func WithSpeed(factor float64) Option {
	return func(c *config) { c.speed = factor }
}

// WithJobTime sets how long a job takes from replicate_requested to replicated
// at speed 1, 3 seconds by default. With 0 it is replicated at once.
func WithJobTime(d time.Duration) Option {
	return func(c *config) { c.jobTime = max(d, 0) }
}

// WithOutcome sets how jobs end unless they are canceled: StatusReplicated by
// default, or StatusError halfway through.
func WithOutcome(outcome imagereplicator.Status) Option {
	return func(c *config) { c.outcome = outcome }
}

// WithCancelLag sets how long a job stays cancel_requested at speed 1, 1 second
// by default; in the documented example it is more than 122 seconds. Then it is
// canceling for a quarter of that, and then canceled.
func WithCancelLag(d time.Duration) Option {
	return func(c *config) { c.cancelLag = max(d, 0) }
}

// WithLostCancel makes cancellations come too late: a job stays
// cancel_requested until the copy is complete, and then ends as if it had not
// been canceled.
func WithLostCancel() Option {
	return func(c *config) { c.lostCancel = true }
}

// WithAPIKey sets the only API key and secret that get a token.
func WithAPIKey(key, secret string) Option {
	return func(c *config) { c.apiKey, c.apiSecret = key, secret }
}

// WithApplicationCredential sets the only application credential that gets a
// token. It belongs to [TenantID].
func WithApplicationCredential(id, secret string) Option {
	return func(c *config) { c.appID, c.appSecret = id, secret }
}

// WithStaticTokens sets tokens that are accepted besides issued ones and never
// expire, scoped to [TenantID]. The default is [Token]. Without arguments, no
// token is static.
func WithStaticTokens(tokens ...string) Option {
	return func(c *config) { c.staticTokens = slices.Clone(tokens) }
}

// WithTokenLifetime sets how long issued tokens are valid, one hour by default.
func WithTokenLifetime(d time.Duration) Option {
	return func(c *config) { c.tokenLifetime = d }
}

// WithTenant adds a tenant. Each belongs to one region.
func WithTenant(tenantID, region string) Option {
	return func(c *config) { c.tenants[tenantID] = region }
}

// WithImage adds an image, or replaces the one with its id.
func WithImage(image Image) Option {
	return func(c *config) { c.images[image.ID] = image }
}

// WithListLag makes a new job appear in lists only d after its creation.
func WithListLag(d time.Duration) Option {
	return func(c *config) { c.listLag = d }
}
