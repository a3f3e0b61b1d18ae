package oraclemarket

import "github.com/imagejobs/imagejobs-go/internal/transport"

// StorageImagesService is stubbed while it is written.
type StorageImagesService struct{ client *transport.Client }
