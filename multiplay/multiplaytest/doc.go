// Package multiplaytest is the [Multiplay Clanforge game image API] as a local
// HTTP server, for tests of programs that use package multiplay. It needs no
// testing.T and no account.
//
//	server := multiplaytest.NewServer(multiplaytest.WithJobTime(0))
//	defer server.Close()
//	server.LockImage(multiplaytest.ImageID)
//	err := release(ctx, server.Client()) // the code under test
//	versions := server.Versions()
//
// One game with one image, a build machine and three game machines exist from
// the start. No source URL is fetched.
//
// # Documented
//
//   - Paths, parameters, fields and states; that every call is a GET.
//   - Basic authentication, and the older AWS Signature Version 4, for the region
//     eu-west-1 and the service cf. Bearer tokens on the successor's host, see
//     [WithBearerTokens].
//   - A source URL is an s3, gs, steam or cos URL.
//   - A diff locks its image until it is rejected or made a version, and a running
//     update until it ends: a second update or diff is refused.
//   - An empty diff requires full=1. A version requires force=1 while servers are
//     allocated.
//   - A completed version is installed: at install_at, a Unix time, now with
//     NOW(), and without it when queued by hand. Any other install_at is refused.
//   - Mirrors have installs of their own, see [WithMirrors].
//
// # Observed
//
// An image that a diff locks is a failure with status 200, in these words. State
// 5 is spelled Completed. Status calls may have the id in the query. Clients that
// sent no install_at saw installs start; see [Dialect].
//
// # Inferred
//
// Squashed jobs are terminal. disable_timeout and disable_percentage need each
// other. mirroring must be true for the install of a mirror, and false for that
// of a machine.
//
// # Our choices
//
// Durations and all messages but those above, also that of an image which an
// update locks.
// Errors have one body and the status 400, 401, 403, 404 or 405, or 200 for what
// the present state forbids; see [Dialect]. Only failed and squashed updates can
// be retried. A version squashes its predecessor's unfinished installs. An install
// that takes no time is listed once, as ended. A signature's date is not compared
// with the clock.
//
// [Multiplay Clanforge game image API]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-update-create
package multiplaytest
