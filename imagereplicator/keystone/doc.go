// Package keystone logs in at an OpenStack Keystone for package
// imagereplicator. It is built on gophercloud, and apart from the client so
// that programs with tokens of their own do not compile that in.
//
//	tokens, endpoint, err := keystone.New(ctx, keystone.Options{
//		AuthURL:   "https://keystone-jp1-ecl.api.ntt.com/v3",
//		APIKey:    key,
//		APISecret: secret,
//		TenantID:  "236ae314ef6944f4ab98fa7519e54325",
//		Region:    "jp1",
//	})
//	if err != nil {
//		return err
//	}
//	client, err := imagereplicator.New(endpoint, tokens)
//
// FromEnv and FromCloud take the options from OS_* variables and clouds.yaml.
//
// # Secrets
//
// Password, application credential and token go to the host of AuthURL alone,
// which must be https or loopback; redirects are not followed, and there is no
// version discovery, whose answer could name another host. No error, log
// record or print of Options shows them.
package keystone
