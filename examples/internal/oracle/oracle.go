// Package oracle connects the Oracle examples to the service, or to the
// built-in one when no endpoint is given.
package oracle

import (
	"errors"
	"flag"
	"os"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// Flags are those that every Oracle example has.
type Flags struct {
	Endpoint, User string
	JSON           bool
}

// Add defines the flags, with the environment as default.
func (f *Flags) Add(flags *flag.FlagSet) {
	flags.StringVar(&f.Endpoint, "endpoint", os.Getenv("ORACLE_MARKETPLACE_ENDPOINT"),
		"base URL of the service, as in "+oraclemarket.DefaultBaseURL+" (or ORACLE_MARKETPLACE_ENDPOINT);\n"+
			"none starts the built-in service. It takes ORACLE_MARKETPLACE_TOKEN, or ORACLE_MARKETPLACE_CLIENT_ID and\n"+
			"ORACLE_MARKETPLACE_CLIENT_SECRET")
	flags.StringVar(&f.User, "user", os.Getenv("ORACLE_MARKETPLACE_USER"), "e-mail address of the partner user (or ORACLE_MARKETPLACE_USER)")
	flags.BoolVar(&f.JSON, "json", false, "print one JSON object a line")
}

// BuiltIn tells whether the example runs against a service of its own.
func (f *Flags) BuiltIn() bool { return f.Endpoint == "" }

// Connect makes a client of the flags and of ORACLE_MARKETPLACE_TOKEN, or
// _CLIENT_ID and _CLIENT_SECRET.
func (f *Flags) Connect() (*oraclemarket.Client, error) {
	var tokens oraclemarket.TokenSource
	token, id, secret := os.Getenv("ORACLE_MARKETPLACE_TOKEN"), os.Getenv("ORACLE_MARKETPLACE_CLIENT_ID"), os.Getenv("ORACLE_MARKETPLACE_CLIENT_SECRET")
	switch {
	case token != "":
		tokens = oraclemarket.StaticToken(token)
	case id != "" && secret != "":
		tokens = oraclemarket.ClientCredentials(id, secret)
	default:
		return nil, errors.New("set ORACLE_MARKETPLACE_TOKEN, or ORACLE_MARKETPLACE_CLIENT_ID and ORACLE_MARKETPLACE_CLIENT_SECRET")
	}
	if f.User == "" {
		return nil, errors.New("give -user, or set ORACLE_MARKETPLACE_USER")
	}
	return oraclemarket.New(f.User, tokens, oraclemarket.WithBaseURL(f.Endpoint), oraclemarket.WithUserAgent("imagejobs-example/1"))
}
