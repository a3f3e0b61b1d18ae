// Package multiplay releases game server images on Multiplay Clanforge. It is a
// client of the [game image API].
//
// [Client.Release] brings a build to the game servers: it updates an image, makes
// a diff and a version of it and follows the rollout. The services of [Client] do
// each step.
//
// # Authentication
//
// [New] takes an [AccessKey] for Clanforge or a [BearerToken] for its successor;
// [FromEnv] reads either from the environment. They are sent only to the base
// URL's origin, as are the credentials of a [Source].
//
// # Retries
//
//   - Create, Retry, Reject, Queue and SetActive are resent only if the request
//     certainly never took effect; otherwise they fail with [ErrAmbiguous].
//   - Other calls are retried after transient failures, see [IsTransient] and
//     [WithRetry].
//
// # Waiting
//
//   - Wait, Watch and Release run until the jobs have ended or ctx is done.
//   - They ride out transient failures for five minutes by default.
//   - If a job failed or was squashed, the error is a [*StateError]; if a rollout
//     never starts, it is a [*RolloutNotStartedError].
//
// # Errors
//
//   - A wrong argument is an [*ArgumentError], found before any request.
//   - A failed call is an [*Error], even if the service reported the failure with
//     status 200; an [*ImageLockedError] if a diff locks the image. Compare it
//     with sentinels such as [ErrForbidden].
//   - A release that stopped is a [*ReleaseError] with the ids to resume it.
//   - No error, log record or printed value holds a secret.
//
// # Observing
//
// [WithLogger], [WithObserver] and [WithAttemptStart] show each attempt of a
// request, for logs, metrics and traces. [CaptureAttempt] stores the last one of
// a call, with status, request id and rate limits.
//
// # Testing
//
// Package [github.com/imagejobs/imagejobs-go/multiplay/multiplaytest] runs the
// service as a local server with faults to inject.
//
// [game image API]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-update-create
package multiplay
