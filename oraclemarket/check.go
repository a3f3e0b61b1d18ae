package oraclemarket

import (
	"crypto/md5" //nolint:gosec // the service's checksum, not a protection
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

func checkID(id int64) error {
	if id < 1 {
		return invalid("uploadRequestID", "must be positive, not %d", id)
	}
	return nil
}

func checkImage(request, application, version, operatingSystem, fileName string) error {
	if err := checkImageName(request, application, version, operatingSystem); err != nil {
		return err
	}
	return checkFileName(request, fileName)
}

func checkImageName(request, application, version, operatingSystem string) error {
	for _, field := range []struct{ name, value string }{
		{"Application", application}, {"Version", version}, {"OperatingSystem", operatingSystem},
	} {
		if strings.TrimSpace(field.value) == "" {
			return invalid(request+"."+field.name, "must not be empty")
		}
		if !utf8.ValidString(field.value) {
			return invalid(request+"."+field.name, "must be valid UTF-8")
		}
	}
	return nil
}

func checkFileName(request, fileName string) error {
	field := request + ".FileName"
	switch {
	case strings.TrimSpace(fileName) == "":
		return invalid(field, "must not be empty")
	case strings.ContainsAny(fileName, `/\`):
		return invalid(field, "must be a name, not a path")
	case !utf8.ValidString(fileName):
		return invalid(field, "must be valid UTF-8")
	}
	if problem := transport.HeaderProblem(fileName); problem != "" {
		return invalid(field, "%s", problem)
	}
	return nil
}

func checkFile(request string, file io.ReaderAt, size int64, md5 string) error {
	if file == nil {
		return invalid(request+".File", "must not be nil")
	}
	if err := checkSize(request, size); err != nil {
		return err
	}
	if md5 != "" && !isMD5(md5) {
		return invalid(request+".MD5", "must be 32 hex digits")
	}
	return nil
}

func checkSize(request string, size int64) error {
	if size <= 0 {
		return invalid(request+".Size", "must be positive, not %d", size)
	}
	return nil
}

func isMD5(text string) bool {
	sum, err := hex.DecodeString(text)
	return err == nil && len(sum) == md5.Size
}

func checkNames(field string, names []string) error {
	for i, name := range names {
		if strings.TrimSpace(name) == "" {
			return invalid(fmt.Sprintf("%s[%d]", field, i), "must not be empty")
		}
	}
	return nil
}

const maxLimit = 100

func checkPaging(request string, limit, offset int) error {
	switch {
	case limit < 0 || limit > maxLimit:
		return invalid(request+".Limit", "must be 1 to %d, or 0 for the default, not %d", maxLimit, limit)
	case offset < 0:
		return invalid(request+".Offset", "must not be negative, not %d", offset)
	}
	return nil
}
