// Package multiplaytest is the Multiplay Clanforge game image API as a local HTTP server: for tests of programs that use
// package multiplay, for its own tests and for the examples. It needs no testing.T.
//
//	server := multiplaytest.NewServer(multiplaytest.WithSpeed(100))
//	defer server.Close()
//	client := server.Client()
//	update, err := client.ImageUpdates.Create(ctx, &multiplay.CreateImageUpdateRequest{
//		ImageID:     multiplaytest.ImageID,
//		MachineID:   multiplaytest.MachineID,
//		Description: "alpha-build",
//		Source:      source,
//	})
//
// There are one account service, one game with one image, one build machine and three game machines from the start. Jobs
// take 3 seconds, see [WithJobTime] and [WithSpeed], and complete unless [Server.Next] says otherwise. Nothing is
// fetched from a source URL; [Server.Updates] tells what was asked for.
//
// # Documented
//
// Paths, methods, parameters and fields of all operations; that all of them are GET; Basic authentication; the states
// and their numbers; that 0/1 and true/false are used each where they are; that jobstart is a string and the other times
// are numbers; that a diff has to be rejected or made a version of before there can be another, that it locks the image
// until then, and that it must have completed or failed for that; that an empty diff needs full=1, which fails if the
// version before was full as well; that a version cannot be made without force=1 while servers are allocated; that a
// version that completes is installed on the machines.
//
// # Observed
//
// That a locked image is a 200 whose body has "success": false, "error": true, error_code 1 and "image locked by diffid:
// N"; that state 5 is spelled Completed; that the status of an update and of a diff can also be asked for with the id in
// the query.
//
// # Ours
//
// How long a job is in each state; which updates may be retried (failed and squashed ones); that all other errors have
// the same body, with error_code 1: status 400 for parameters that are missing or wrong, 401 for wrong keys, 403 for
// another account service, 404 for unknown ids, 405 for other methods, and 200 for what cannot be done in the present
// state ([WithErrors] changes that); the texts of all messages but those of the locked image and "Forbidden"; that a
// running update is told by image options but keeps nothing from being done; that a squashed diff, of which the documents
// say nothing, locks the image until it is rejected and can be neither retried nor made a version of; that a new version
// squashes the unfinished installs of the one before; the fields of a file in a diff; that installs_squashed is an array of ids.
//
// # Failures
//
// [Server.Next] makes jobs fail or be squashed, [Server.LockImage] has somebody else lock an image, and [Server.Inject]
// makes requests fail by operation: with a status, a delay, a dropped connection, a spoilt answer.
package multiplaytest
