package multiplaytest

import (
	"net"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// What exists from the start. The numbers are those of the samples in the documentation, but for GameID, which is made
// up.
const (
	AccountServiceID = 1337
	GameID           = 77
	ImageID          = 1249
	MachineID        = 95394 // a build machine
)

// Image is a game image.
type Image struct {
	ID     int64
	GameID int64
	Name   string
	// UpdateURL is the source of updates that name none; without it they must.
	UpdateURL string
}

// ErrorStyle is how the server refuses.
type ErrorStyle int

// The ways to refuse. The body is the same in each.
const (
	// ErrorsMixed is a status for bad requests and a 200 for what cannot be done in the present state.
	ErrorsMixed ErrorStyle = iota
	// ErrorsIn200 is a 200 for everything.
	ErrorsIn200
	// ErrorsByStatus is a status for everything: 400 for what cannot be done.
	ErrorsByStatus
)

// Option changes how a [Server] behaves.
type Option func(*config)

type config struct {
	server  emulator.Config
	now     func() time.Time
	speed   float64
	jobTime time.Duration
	errors  ErrorStyle

	accountServiceID     int64
	accessKey, secretKey string
	images               []Image
	buildMachines        []int64
	gameMachines         int

	omitStateID, numericJobStart, nameComplete, emptyArrays bool
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

// WithListener serves a listener of the caller's, in memory for example, instead of an address. The server closes it.
func WithListener(listener net.Listener) Option {
	return func(c *config) { c.server.Listener = listener }
}

// WithClock makes the server tell the time by now; the default is time.Now.
func WithClock(now func() time.Time) Option {
	return func(c *config) { c.now = now }
}

// WithSpeed makes jobs run factor times as fast.
func WithSpeed(factor float64) Option {
	return func(c *config) { c.speed = factor }
}

// WithJobTime sets how long a job takes, 3 seconds by default. Zero has jobs end at once.
func WithJobTime(d time.Duration) Option {
	return func(c *config) { c.jobTime = d }
}

// WithKeys sets the account service and the only pair of keys it accepts.
func WithKeys(accountServiceID int64, accessKey, secretKey string) Option {
	return func(c *config) { c.accountServiceID, c.accessKey, c.secretKey = accountServiceID, accessKey, secretKey }
}

// WithImage adds an image, or replaces the one with that id.
func WithImage(image Image) Option {
	return func(c *config) { c.images = append(c.images, image) }
}

// WithBuildMachine adds a build machine.
func WithBuildMachine(id int64) Option {
	return func(c *config) { c.buildMachines = append(c.buildMachines, id) }
}

// WithGameMachines sets how many machines an image is installed on, 3 by default.
func WithGameMachines(n int) Option {
	return func(c *config) { c.gameMachines = n }
}

// WithErrors sets how the server refuses; the default is [ErrorsMixed].
func WithErrors(style ErrorStyle) Option {
	return func(c *config) { c.errors = style }
}

// WithoutStateID leaves jobstateid out, which the documentation calls optional.
func WithoutStateID() Option {
	return func(c *config) { c.omitStateID = true }
}

// WithNumericJobStart sends jobstart as a number, as the other times are.
func WithNumericJobStart() Option {
	return func(c *config) { c.numericJobStart = true }
}

// WithNameComplete spells state 5 "Complete", as one page does.
func WithNameComplete() Option {
	return func(c *config) { c.nameComplete = true }
}

// WithEmptyArrays sends [] for a map without entries, as some backends do.
func WithEmptyArrays() Option {
	return func(c *config) { c.emptyArrays = true }
}

// WithRequestLogLimit sets how many requests [Server.Requests] keeps, 100,000 by default.
func WithRequestLogLimit(n int) Option {
	return func(c *config) { c.server.LogLimit = n }
}
