// Package keystone logs in at an OpenStack Keystone with [Identity API v3] and
// finds the image storage, for package
// [github.com/imagejobs/imagejobs-go/imagereplicator]. It is built on
// gophercloud, and apart from the client so that programs with tokens of their
// own do not link that.
//
// [New] logs in with [Options], which [FromEnv] and [FromCloud] read from the
// OS_ variables and clouds.yaml. [Session.Client] is then ready for use, and
// [Session.ImageService] looks up images with gophercloud.
//
// # Authentication
//
//   - An API key and secret, an application credential, a token, or what else
//     gophercloud can log in with.
//   - Secrets are sent to the host of Options.AuthURL alone, which must be https
//     or loopback. Redirects are not followed, and no version is discovered.
//   - A new token is requested before the old one expires by the server's clock,
//     once for all that use the [Session].
//
// # Errors
//
//   - A wrong option is an [*imagereplicator.ArgumentError], found before any
//     request.
//   - A failed login is an [*imagereplicator.Error].
//   - No error, log record or printed value holds a secret.
//
// # Testing
//
// Package [github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest]
// has a Keystone to log in at.
//
// [Identity API v3]: https://docs.openstack.org/api-ref/identity/v3/
package keystone
