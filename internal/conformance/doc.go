// Package conformance holds tests alone: the promises that the three clients
// make together, each kept by every operation and every exported type.
// README.md pairs each promise with its test, and DOCUMENTS.md each statement of
// the services' documents. What is tested is listed by hand and compared with
// the source, so that a new operation or type without a line here turns the
// tests red.
//
//   - operations_…_test.go list the operations, with what the documentation says
//     may be repeated;
//   - matrix_test.go runs each of them through each fault of faults_test.go, and
//     compares what happened with what the promises say (expect_test.go);
//   - waits_test.go has services fail while a job is followed;
//   - types_test.go prints each exported type in every way there is, in search
//     of secrets, and echoed_test.go the errors of services that repeat them;
//   - origin_test.go follows the credentials, through redirects and odd base
//     URLs;
//   - api_test.go compares the exported API with testdata/api, and the clients
//     with each other;
//   - alloc_test.go and frames_test.go count what a status call costs;
//   - concurrency_test.go has five hundred goroutines share a client, and leaves
//     iterations half done.
package conformance
