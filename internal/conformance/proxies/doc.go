// Package proxies holds tests alone: the clients behind real nginx, squid and
// haproxy, which run as children on loopback ports with the configuration in
// testdata.
//
// Debian has the programs: apt-get install -y --no-install-recommends nginx
// squid haproxy. Without one, its tests are skipped; with
// IMAGEJOBS_REQUIRE_PROXIES=1 they fail.
//
// # What no client can help
//
// A cache that ignores what a request says about caching responds for the
// service, and nothing in its responses shows it. Behind such a cache a job's
// end is seen late by up to the time that the cache keeps a response, and the
// second of two equal calls of Multiplay, which are GETs, gets the response of
// the first. Whoever runs the cache has to except the service.
package proxies
