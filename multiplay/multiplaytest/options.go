package multiplaytest

import (
	"net"
	"slices"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// What every server has from the start. The numbers are those of the
// documentation's samples, except for GameID, which is invented.
const (
	// AccountServiceID is the account service of the server's credentials.
	AccountServiceID = 1337
	// GameID is the game of ImageID.
	GameID = 77
	// ImageID is a game image.
	ImageID = 1249
	// MachineID is a build machine.
	MachineID = 95394
)

// Image is a game image; see [WithImage].
type Image struct {
	// ID is positive.
	ID int64
	// GameID is the game that the image belongs to.
	GameID int64
	// Name is the name that the image options show.
	Name string
	// UpdateURL is the source of updates that name none. Without it, every update
	// must name one.
	UpdateURL string
}

// An Option configures a [Server].
type Option func(*config)

type config struct {
	server  emulator.Config
	now     func() time.Time
	speed   float64
	jobTime time.Duration
	dialect Dialect

	accountServiceID     int64
	accessKey, secretKey string
	bearerTokens         []string
	images               []Image
	buildMachines        []int64
	gameMachines         int
	mirrors              int
}

func newConfig(opts []Option) config {
	c := config{
		jobTime:          3 * time.Second,
		accountServiceID: AccountServiceID,
		accessKey:        "test-access-key",
		secretKey:        "test-secret-key",
		images:           []Image{{ID: ImageID, GameID: GameID, Name: "Test image"}},
		buildMachines:    []int64{MachineID},
		gameMachines:     3,
	}
	for _, opt := range opts {
		opt(&c)
	}
	c.server.Clock = emulator.NewClock(c.now, c.speed)
	return c
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

// WithSpeed makes jobs run factor times as fast.
func WithSpeed(factor float64) Option {
	return func(c *config) { c.speed = factor }
}

// WithJobTime sets how long a job takes at speed 1, 3 seconds by default. With
// 0 jobs end at once.
func WithJobTime(d time.Duration) Option {
	return func(c *config) { c.jobTime = d }
}

// WithKeys sets the account service and the only pair of keys it accepts.
func WithKeys(accountServiceID int64, accessKey, secretKey string) Option {
	return func(c *config) { c.accountServiceID, c.accessKey, c.secretKey = accountServiceID, accessKey, secretKey }
}

// WithBearerTokens makes the server behave like Clanforge's successor: it
// accepts these bearer tokens instead of keys, and needs the account service id
// only in the path of the rollout status.
func WithBearerTokens(tokens ...string) Option {
	return func(c *config) { c.bearerTokens = slices.Clone(tokens) }
}

// WithImage adds an image, or replaces the one with its id.
func WithImage(image Image) Option {
	return func(c *config) { c.images = append(c.images, image) }
}

// WithBuildMachine adds a build machine.
func WithBuildMachine(id int64) Option {
	return func(c *config) { c.buildMachines = append(c.buildMachines, id) }
}

// WithGameMachines sets how many machines a version is installed on, 3 by
// default.
func WithGameMachines(n int) Option {
	return func(c *config) { c.gameMachines = n }
}

// WithMirrors sets how many mirrors a version is installed on besides the game
// machines, none by default. The install of a mirror must be queued with
// mirroring, that of a machine without.
func WithMirrors(n int) Option {
	return func(c *config) { c.mirrors = n }
}
