package oraclemarkettest

// Dialect chooses a reading where the documentation contradicts itself or says
// too little. The zero value is the default.
type Dialect struct {
	// Created responds to a create or initiate call as the guide has it: 201, a
	// Location header and the JSON that was sent. By default the response is
	// that of the reference: 200 and an acknowledgement.
	Created bool
	// FirstChunkInInitiate refuses an initiate call without the first chunk, as
	// the prose has it. By default the chunk is accepted but not required, as
	// the sample has it.
	FirstChunkInInitiate bool
	// BareItems sends the items of a list as they are. By default each is an
	// object with the one member "machineimage".
	BareItems bool
	// PrintedStatuses spells states as the list of filter values does: in upper
	// case and with its mistakes, IN PROGESS and DELECTION FAILED. By default
	// they are in title case and correct.
	PrintedStatuses bool
	// CheckSum adds the member checkSum, which is in the schema but not in the
	// sample, to Completed upload requests. The first such response for an
	// image in several chunks reads them all.
	CheckSum bool
	// NoChunkCounts leaves out uploadedChunks and pendingChunks, which are
	// optional in the schema.
	NoChunkCounts bool
}

// WithDialect sets the server's dialect.
func WithDialect(dialect Dialect) Option {
	return func(c *config) { c.dialect = dialect }
}
