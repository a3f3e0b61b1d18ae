// Package multiplay releases game server images on Multiplay Clanforge. It is a
// client of the [game image API].
//
// [Client.Release] brings a build to the game servers: it updates an image, makes
// a diff and a version of it and follows the rollout. The services of [Client] do
// each step. All methods return promptly when their context is done.
//
// # Authentication
//
// [New] takes an [AccessKey] of Clanforge or a [BearerToken] of its successor,
// [FromEnv] either from the environment. They go to the base URL's origin alone,
// as does a [Source], whose credentials the service takes in the query of a call.
//
// # Retries
//
//   - Create, Retry, Reject, Queue and SetActive are resent only if the request
//     certainly never took effect; otherwise they fail with [ErrAmbiguous].
//   - Calls that only read are retried after transient failures, see
//     [IsTransient] and [WithRetry].
//
// # Waiting
//
//   - Wait, Watch and Release run until the job or ctx ends.
//   - Transient failures are ridden out for the outage limit, five minutes by
//     default; an unknown job for half a minute.
//   - A job that failed or was squashed is a [*StateError]. A rollout that never
//     starts is a [*RolloutNotStartedError].
//
// # Errors
//
//   - A wrong argument is an [*ArgumentError], found before any request.
//   - A failed call is an [*Error], also if the service refused in a 200. An
//     image that a diff locks is an [*ImageLockedError].
//   - A release that stopped is a [*ReleaseError], from which it can be resumed.
//   - No error, log record or printed value holds a credential.
//
// # Testing
//
// Package [github.com/imagejobs/imagejobs-go/multiplay/multiplaytest] runs the
// service as a local server with faults to inject.
//
// [game image API]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-update-create
package multiplay
