package oraclemarket

import "github.com/imagejobs/imagejobs-go/internal/transport"

// MachineImagesService is stubbed while it is written.
type MachineImagesService struct {
	client     *transport.Client
	firstChunk int
}

// Status is stubbed while it is written.
type Status string
