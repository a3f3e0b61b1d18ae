// Package keystone holds tests alone: package imagereplicator/keystone with a
// real Keystone, which runs as a child on loopback ports, behind TLS with an
// authority of its own and below a path.
//
// Debian has it: apt-get install -y --no-install-recommends python3-keystone.
// Without it, the tests are skipped; with IMAGEJOBS_REQUIRE_KEYSTONE=1 they fail.
package keystone
