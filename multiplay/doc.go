// Package multiplay is a client for the game image API of Multiplay Clanforge:
// fetch the files of a game server onto a build machine, compare them with the
// latest version of the image, make a version of the difference and roll it out
// to the machines. Release does all of it; the services do each step.
//
//	client, err := multiplay.New(accountServiceID, accessKey, secretKey)
//	if err != nil {
//		return err
//	}
//	result, err := client.Release(ctx, &multiplay.ReleaseRequest{
//		ImageID:     1249,
//		MachineID:   95394,
//		Description: "build 42",
//		Source: multiplay.S3Source{
//			AccessKey: s3Key, SecretKey: s3Secret, Bucket: "builds", Folder: "server/42",
//		},
//		Restart: true,
//	})
//
// # Authentication
//
// New takes the account service id and a pair of keys that has access to it.
// They go out as Basic authentication, over https and to the host of the base
// URL alone: redirects are not followed. The older AWS signatures, which the
// documents deprecate, are not supported.
//
// A Source holds credentials too, which the service needs in the query of a
// call. They show as REDACTED however a source or a request is printed, logged
// or marshaled, and in every error and log record of this package.
//
// # Retries
//
// Every call of this service is a GET, also those that change something. Such a
// call (Create, Retry, Reject, Queue, SetActive) is carried out at most once: it
// is sent again only when the service certainly did not take it, because no
// connection was made or the answer was 429, and not even by net/http where a
// reused connection dies. Otherwise the error matches ErrAmbiguous: look before
// repeating.
//
// Calls that only look (Status, List, Options, RolloutStatus) are repeated
// after failed connections, the statuses 408, 429, 500, 502, 503 and 504, and
// answers that are cut or make no sense. See WithRetry.
//
// # Waiting
//
// Wait polls a job until it has ended, and Watch yields each change meanwhile.
// They look at once, again within a second and then less and less often, down to
// every 7.5 to 15 seconds; see WithPollInterval. The context is the only limit on
// how long. A look that fails in passing, after its own tries, is repeated for 5
// minutes since the last good one, so that both go through short outages. The
// first look ends waiting if it fails. A job that failed or was squashed is a
// *StateError.
//
// # Errors
//
// Bad input is an error that names the field and matches ErrInvalidArgument,
// before any request. A call that failed is an *Error, whether the service said
// so by its status or, as it likes to, inside a 200. An image that a diff locks
// is an *ImageLockedError; a release that stopped is a *ReleaseError that says
// where and holds what it takes to go on.
//
// # Testing
//
// Package multiplaytest is the service as a local HTTP server, with jobs that
// move, fail and lock images, and faults on request.
package multiplay
